/** Find the neurons behind the next token, change one, and see the text change. */
import { attribution, open } from "golgi";

const model = await open("models/stories260K");
const prompt = "Lily and her mom went to the park. She saw a big";

async function story(edits: string[]): Promise<string> {
  let text = "";
  for await (const step of model.generate(prompt, { maxTokens: 24, edits })) text += step.text;
  return text;
}

const { components } = await attribution(model, prompt, { detail: "neuron" });
const [strongest, ...others] = components.filter(({ kind }) => kind === "neuron");
for (const { label, value } of [strongest, ...others.slice(0, 2)]) console.log(label, value.toFixed(2));

console.log("as it is   ", await story([]));
console.log("without it ", await story([`${strongest.label} = 0`]));
console.log("turned up  ", await story([`${strongest.label} *= 4 @generated`]));
await model.close();
