/** Several texts in one step; each gives what it gives alone. */
import { open } from "golgi";

const model = await open("models/stories260K");
const texts = ["The cat was", "One day, Tim and Sam went to the"];
const batch = await model.run(texts, { read: ["blocks.0.attn.z", "probs"], logits: "last" });

for (const [sequence, text] of texts.entries()) {
  const z = batch.get("blocks.0.attn.z", { sequence });
  const probs = Array.from(batch.get("probs", { sequence }).row(0).data);
  const likeliest = probs.indexOf(Math.max(...probs));
  console.log(`${text} ... ${JSON.stringify(model.tokenizer.text(likeliest))}; z is [${z.shape.join(", ")}]`);
}
await model.close();
