/** Where tokens go in a model with experts, what one expert does, and what happens when a token may not go there. */
import { open, router } from "golgi";

// A tiny DeepSeek-V3 of random weights, which has no tokenizer: texts are token ids.
const model = await open("test/fixtures/goldens/deepseek-v3");
const tokens = [5, 17, 42, 8, 30, 11];
const layer = model.config.sparse?.layers.indexOf(true);

const run = await model.run(tokens, { read: [`L${layer}.router`, `blocks.${layer}.router.indices`] });
for (const [position, token] of tokens.entries()) {
  const experts = Array.from(run.get(`blocks.${layer}.router.indices`).row(position).data);
  const weights = Array.from(run.get(`blocks.${layer}.router.weights`).row(position).data);
  console.log(token, experts.map((expert, slot) => `E${expert} ${weights[slot].toFixed(2)}`).join("  "));
}

// An expert has values at the tokens that went to it, and at no others.
const expert = run.get(`blocks.${layer}.router.indices`).at(0, 0);
const post = `blocks.${layer}.experts.${expert}.post`;
const chosen = await model.run(tokens, { read: [post] });
console.log(
  `E${expert} was chosen at`,
  Array.from(chosen.positions(post)).join(", "),
  "and has values",
  chosen.get(post).shape,
);

// Banned, others take its place, with the weights that the family's formula gives them.
const without = await model.run(tokens, {
  read: [`blocks.${layer}.router.indices`],
  edits: [`L${layer}.router ban ${expert}`],
});
console.log("without it", Array.from(without.get(`blocks.${layer}.router.indices`).row(0).data));

const { layers } = await router(model, tokens);
console.log("load", layers[0].load.map(({ expert: one, nTokens }) => `E${one} ${nTokens}`).join("  "));
await model.close();
