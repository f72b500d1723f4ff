/** What `golgi trace` prints, as data. */
import { open, trace } from "golgi";

const model = await open("models/stories260K");
const { text, layers } = await trace(model, "The little girl was very", { maxTokens: 4 });

console.log(`The model goes on: ${JSON.stringify(text)}`);
for (const { layer, predictions, lengths, neurons } of layers) {
  const [best] = predictions;
  const [neuron] = neurons;
  const chance = `${(100 * best.probability).toFixed(0)}%`;
  console.log(`L${layer} would say ${JSON.stringify(best.text)} (${chance}); the MLP added ${lengths.mlp.toFixed(2)}`);
  console.log(`   N${neuron.neuron} = ${neuron.value.toFixed(2)} pushes to ${JSON.stringify(neuron.promotes[0].text)}`);
}
await model.close();
