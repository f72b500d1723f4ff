/** Where does each head of a layer look from the last token? Points answer to TransformerLens' names as well. */
import { open } from "golgi";

const model = await open("models/stories260K");
const run = await model.run("Tom had a red ball. Tom liked the", { read: ["blocks.3.attn.hook_pattern@-1"] });

const pattern = run.get("blocks.3.attn.pattern"); // [nHeads, 1, S]
const words = run.tokens.map((token) => model.tokenizer.text(token));
for (let head = 0; head < model.config.nHeads; head++) {
  const row = Array.from(pattern.row(head, 0).data);
  const best = row.indexOf(Math.max(...row));
  console.log(`L3.H${head} looks at ${JSON.stringify(words[best])} (${(100 * row[best]).toFixed(0)}%)`);
}
await model.close();
