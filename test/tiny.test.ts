/** The whole engine in one page: open a model, run it, look into it, let it write. */

import { expect, it } from "vitest";
import { stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { sameRows } from "./support/tensors.ts";

it("opens, runs, reads and generates", async () => {
  const model = await open(stories260K);
  expect(model.architecture).toBe("llama");
  expect(model.config).toMatchObject({ nLayers: 5, nHeads: 8, nKvHeads: 4, dModel: 64, dFf: 172, vocabSize: 512 });

  // Text in, logits for every token out; the likeliest next token goes on with the story.
  const run = await model.run("Once upon a", { read: ["blocks.2.mlp.post", "blocks.*.attn.pattern@-1"] });
  const [nTokens, vocabSize] = run.logits.shape;
  expect([nTokens, vocabSize]).toEqual([run.tokens.length, 512]);
  const last = run.logits.row(-1).data;
  expect(model.tokenizer.text(last.indexOf(Math.max(...last)))).toBe(" time");

  // Every value on the way can be read: 172 neurons for each token, and what 8 heads of each layer look at.
  expect(run.get("blocks.2.mlp.post").shape).toEqual([nTokens, 172]);
  expect(run.get("blocks.4.attn.pattern").shape).toEqual([8, 1, nTokens]);
  expect(run.get("blocks.4.attn.hook_pattern")).toBe(run.get("blocks.4.attn.pattern"));
  expect(model.points().map(({ name }) => name)).toContain("blocks.2.mlp.post");

  // Generating goes token by token, and each step can be looked into as well.
  let text = "";
  for await (const step of model.generate("Once upon a time", { maxTokens: 5, read: ["blocks.0.attn.z"] })) {
    text += step.text;
    expect(step.get("blocks.0.attn.z").shape.slice(1)).toEqual([8, 8]);
  }
  expect(text).toBe(", there was a little");

  // A session keeps what it has read: two steps give what one gives.
  const session = model.session();
  await session.append("Once upon");
  const { logits } = await session.append(run.tokens.slice(session.tokens.length));
  expect(sameRows(logits.row(-1), run.logits.row(-1))).toBe(true);
  session.close();

  await model.close();
});
