/** A whole text's trace says at each position what the trace of that position says. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Model, open, type TextTrace, trace, traceText } from "../node/index.ts";
import { stories260K } from "./support/fixtures.ts";

const prompt = "Tim had a red ball";
const options = { maxTokens: 6, nPredictions: 4, nNeurons: 5, nEdges: 3 };
const edits = ["L1.N7 = 2", "L3.mlp *= 0.5 @generated"];

let model: Model;
beforeAll(async () => {
  // Native kernels round otherwise for one row than for many.
  model = await open(stories260K, { backend: "reference" });
});
afterAll(() => model.close());

describe.each([
  ["as the model is", []],
  ["with edits on", edits],
])("a text's trace, %s", (_, edits) => {
  let whole: TextTrace;
  beforeAll(async () => {
    whole = await traceText(model, prompt, { ...options, edits });
  });

  it.each([0, 3, 8])("agrees with the trace of position %i", async (position) => {
    const one = await trace(model, prompt, { ...options, edits, position });
    const layers = one.layers.map(({ layer }) => ({
      layer,
      predictions: whole.predictions[layer + 1][position],
      lengths: {
        attention: whole.lengths.attention[layer][position],
        mlp: whole.lengths.mlp[layer][position],
        residual: whole.lengths.residual[layer + 1][position],
      },
      neurons: whole.neurons[layer][position],
      edges: whole.edges[layer],
    }));
    const { text, tokens, nPromptTokens } = whole;
    const embed = { predictions: whole.predictions[0][position], length: whole.lengths.residual[0][position] };
    expect({ prompt, text, tokens, nPromptTokens, position, embed, layers }).toEqual(one);
  });

  it("has every head's pattern as a read of it gives it", async () => {
    const tokens = whole.tokens.map(({ token }) => token);
    const read = ["blocks.*.attn.pattern"];
    const run = await model.run(tokens, { read, edits, generatedFrom: whole.nPromptTokens });
    for (const [layer, pattern] of whole.patterns.entries()) {
      expect(pattern).toEqual(run.get(`blocks.${layer}.attn.pattern`));
    }
  });
});

it("a text longer than it may be is refused, with what to do", async () => {
  await expect(traceText(model, prompt, { ...options, maxTextTokens: 9 })).rejects.toThrow(
    /maxTextTokens: .*at most 9 tokens; got 1\d\. Give a shorter prompt, or generate fewer tokens\./,
  );
});
