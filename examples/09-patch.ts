/** Which heads carry what tells two texts apart: one head's value at a time, from one text into the other. */
import { open, patch } from "golgi";

const model = await open("models/stories260K");
const result = await patch(model, {
  clean: "Lily saw a big dog. The dog",
  corrupted: "Lily saw a big cat. The cat",
  points: ["L*.H*"],
  metric: { answer: " was", wrong: " s" },
});
console.log(`${result}`);
await model.close();
