/** Open a checkpoint and continue a text, token by token. */
import { open } from "golgi";

const model = await open("models/stories260K");
console.log(`${model.architecture}, ${model.config.nLayers} layers, ${model.config.nHeads} heads a layer`);

for await (const step of model.generate("Once upon a time", { maxTokens: 12, temperature: 0 })) {
  console.log(step.token, JSON.stringify(step.text), step.logprob.toFixed(3));
}
await model.close();
