/** Which tokens fire a neuron most, over many texts: only the answer is kept, however long they are. */
import { open } from "golgi";

const model = await open("models/stories260K");
const texts = [
  "Once upon a time there was a little girl named Lily. She had a red ball.",
  "The big dog ran to the park. He was very happy and wagged his tail.",
  "Tom and his mom went to the store. They saw a little cat in a big box.",
];
const point = "blocks.1.mlp.post";
const recording = await model.record(texts, { read: [point], reduce: { topK: 5 } });

const neuron = 15; // small and large things
const { values, sequences, positions } = recording.top(point); // [5, dFf] each
for (let rank = 0; rank < 5; rank++) {
  const { tokens } = recording.sequences[sequences.at(rank, neuron)];
  const position = positions.at(rank, neuron);
  const before = model.tokenizer.decode(tokens.slice(0, position)).slice(-16);
  console.log(values.at(rank, neuron).toFixed(2), `${before.padStart(16)} [${model.tokenizer.text(tokens[position])}]`);
}
await model.close();
