/** Follow one neuron through a text: its value on each token. */
import { open } from "golgi";

const model = await open("models/stories260K");
const run = await model.run("Lily saw a big dog", { read: ["blocks.2.mlp.post"], logits: "none" });

const post = run.get("blocks.2.mlp.post"); // [T, dFf]
const neuron = 107;
for (const [position, token] of run.tokens.entries()) {
  console.log(JSON.stringify(model.tokenizer.text(token)).padEnd(10), post.at(position, neuron).toFixed(3).padStart(7));
}
await model.close();
