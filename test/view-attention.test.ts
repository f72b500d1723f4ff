/** The attention view: scores of heads that are set by hand, and of real ones against plain loops over the pattern. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RequestError } from "../src/errors.ts";
import type { Model } from "../src/run/model.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { attention } from "../src/views/attention.ts";
import { head } from "../src/views/head.ts";
import { openCircuitModel } from "./support/circuit-model.ts";
import { open } from "./support/open.ts";
import { range, repeatingTokens, VIEW_CASES } from "./support/view-cases.ts";

describe("on a model whose heads are set by hand", () => {
  // The first token occurs once, all others twice.
  const TOKENS = [7, 0, 1, 2, 3, 0, 1, 2, 3];
  let model: Model;
  beforeAll(async () => {
    model = await openCircuitModel();
  });
  afterAll(() => model.close());

  async function scoresOf(tokens: readonly number[], layer: number, index: number) {
    const { heads } = await attention(model, tokens);
    return heads.find((one) => one.layer === layer && one.head === index)!;
  }

  it("a head that looks at the token before has a previous-token score of exactly 1", async () => {
    expect(await scoresOf(TOKENS, 0, 0)).toMatchObject({ previousToken: 1, duplicateToken: 0, induction: 0 });
  });

  it("a head that looks at what came after its own token has an induction score of exactly 1", async () => {
    const { induction, duplicateToken, previousToken } = await scoresOf(TOKENS, 1, 0);
    expect(induction).toBe(1);
    expect(duplicateToken).toBe(0);
    // Rows without an earlier occurrence look everywhere alike, and so at the token before.
    expect(previousToken).toBeLessThan(0.3);
  });

  it("a head that looks at its own token shares itself between the occurrences", async () => {
    const { duplicateToken, induction, entropy } = await scoresOf(TOKENS, 0, 1);
    expect(duplicateToken).toBe(0.5);
    expect(induction).toBe(0);
    // Of nine rows, four look at two tokens alike.
    expect(entropy).toBeCloseTo((4 * Math.log(2)) / 9, 6);
  });

  it("a head that looks everywhere alike has the scores of that", async () => {
    const { previousToken, firstToken } = await scoresOf(TOKENS, 1, 1);
    const uniform =
      range(9)
        .slice(1)
        .reduce((sum, t) => sum + 1 / (t + 1), 0) / 8;
    expect(previousToken).toBeCloseTo(uniform, 6);
    expect(firstToken).toBeCloseTo(uniform, 6);
  });

  it("an earlier occurrence right before counts as one, and what came after it is the row itself", async () => {
    const { heads } = await attention(model, [7, 4, 4]);
    const [previous] = heads;
    expect(previous).toMatchObject({ previousToken: 1, duplicateToken: 1, induction: 0 });
  });

  it("scores without a row to count are null", async () => {
    const [one] = (await attention(model, [3])).heads;
    expect(one).toMatchObject({
      previousToken: null,
      duplicateToken: null,
      induction: null,
      firstToken: null,
      entropy: 0,
    });
    const [distinct] = (await attention(model, [3, 4])).heads;
    expect(distinct).toMatchObject({ previousToken: 1, duplicateToken: null, induction: null });
  });

  it("the induction head copies every token, and so the model predicts what came after before", async () => {
    for (const options of [{ on: TOKENS, k: 1 }, { k: 1 }])
      expect((await head(model, "L1.H0", options)).copying).toBe(1);
    const { logits } = await model.run(TOKENS);
    const likeliest = (t: number) => logits.row(t).data.indexOf(Math.max(...logits.row(t).data));
    expect([5, 6, 7].map(likeliest)).toEqual([1, 2, 3]);
  });
});

describe.each(VIEW_CASES)("on %s", (name, directory) => {
  let model: Model;
  let tokens: number[];
  beforeAll(async () => {
    model = await open(directory);
    tokens = await repeatingTokens(name, model);
  });
  afterAll(() => model.close());

  it("gives the pattern that a read gives, for the layers and heads asked for", async () => {
    const { nLayers, nHeads } = model.config;
    const [layer, index] = [nLayers - 1, nHeads - 1];
    const found = await attention(model, tokens, { layers: [layer], heads: [index, 0] });
    const pattern = (await model.run(tokens, { read: [`blocks.${layer}.attn.pattern`] })).get(
      `blocks.${layer}.attn.pattern`,
    );
    expect(found.heads.map(({ layer, head }) => [layer, head])).toEqual([
      [layer, index],
      [layer, 0],
    ]);
    for (const { head, pattern: shares } of found.heads) {
      expect(shares).toEqual(range(tokens.length).map((t) => Array.from(pattern.row(head, t).data)));
    }
  });

  it("scores are those of plain loops over the definition", async () => {
    const { heads } = await attention(model, tokens);
    const run = await model.run(tokens, { read: ["blocks.*.attn.pattern"] });
    expect(heads).toHaveLength(model.config.nLayers * model.config.nHeads);
    for (const { layer, head, previousToken, duplicateToken, induction, firstToken, entropy } of heads) {
      const expected = loops(run.get(`blocks.${layer}.attn.pattern`), head, tokens);
      expect({ previousToken, duplicateToken, induction, firstToken, entropy }).toEqual(expected);
    }
  });

  it("the strongest edges are the largest shares besides the token itself and the first", async () => {
    const { heads } = await attention(model, tokens, { nEdges: 5 });
    for (const { pattern, edges } of heads) {
      const others = pattern.flatMap((row, from) => row.map((weight, to) => ({ from, to, weight })));
      const visible = others.filter(({ from, to, weight }) => to !== 0 && to !== from && weight > 0);
      expect(edges).toEqual(visible.sort((a, b) => b.weight - a.weight).slice(0, 5));
    }
  });

  it("an edit of a pattern shows", async () => {
    const { heads } = await attention(model, tokens, { edits: ["blocks.0.attn.pattern[0] = 0"], layers: [0] });
    expect(heads[0].pattern.flat().every((share) => share === 0)).toBe(true);
    expect(heads[1].pattern.flat().some((share) => share > 0)).toBe(true);
  });

  it("options that cannot be applied are refused", async () => {
    const { nLayers, nHeads } = model.config;
    const refused = [
      { layers: [nLayers] },
      { heads: [nHeads] },
      { heads: [] },
      { nEdges: -1 },
      { nEdges: 0.5 },
      { head: 1 },
    ];
    for (const options of refused) await expect(attention(model, tokens, options)).rejects.toThrow(RequestError);
  });
});

function loops(pattern: Tensor, head: number, tokens: readonly number[]) {
  const mean = (values: readonly number[]) =>
    values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;
  const later = range(tokens.length).slice(1);
  const before = (t: number) => range(t).filter((u) => tokens[u] === tokens[t]);
  const repeated = later.filter((t) => before(t).length > 0);
  const on = (t: number, keys: readonly number[]) => keys.reduce((sum, key) => sum + pattern.at(head, t, key), 0);
  const entropies = range(tokens.length).map((t) =>
    range(t + 1).reduce((sum, s) => {
      const p = pattern.at(head, t, s);
      return p === 0 ? sum : sum - p * Math.log(p);
    }, 0),
  );
  return {
    previousToken: expect.closeTo(mean(later.map((t) => on(t, [t - 1])))!, 12),
    duplicateToken: expect.closeTo(mean(repeated.map((t) => on(t, before(t))))!, 12),
    induction: expect.closeTo(
      mean(
        repeated.map((t) =>
          on(
            t,
            before(t).map((u) => u + 1),
          ),
        ),
      )!,
      12,
    ),
    firstToken: expect.closeTo(mean(later.map((t) => on(t, [0])))!, 12),
    entropy: expect.closeTo(mean(entropies)!, 12),
  };
}
