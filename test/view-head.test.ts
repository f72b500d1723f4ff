/** The head view against plain loops in float64 over weights and points; what it copies on a model set by hand is in view-attention. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GolgiError } from "../src/errors.ts";
import type { Model } from "../src/run/model.ts";
import { attention } from "../src/views/attention.ts";
import { type Head, head } from "../src/views/head.ts";
import { open } from "./support/open.ts";
import {
  centred,
  dot,
  length,
  range,
  readout,
  readWeights,
  repeatingTokens,
  VIEW_CASES,
  type Weights,
} from "./support/view-cases.ts";

describe.each(VIEW_CASES)("on %s", (name, directory) => {
  let model: Model;
  let weights: Weights;
  let tokens: number[];
  beforeAll(async () => {
    model = await open(directory);
    weights = await readWeights(directory, model);
    tokens = await repeatingTokens(name, model);
  });
  afterAll(() => model.close());

  /** Logits of a value [headDim] through head h's part of the output projection. */
  function raisedBy(value: ArrayLike<number>, layer: number, h: number): number[] {
    const { dModel, nHeads, headDim } = model.config;
    const wO = weights(`blocks.${layer}.attn.wO`);
    const written = range(dModel).map((d) => {
      const from = (d * nHeads + h) * headDim;
      return dot(wO.slice(from, from + headDim), value);
    });
    return readout(written, model, weights);
  }

  function expectRaised(sources: Head["sources"], logitsOf: (i: number) => number[], k: number): void {
    for (const [i, { promotes, token, isCopied }] of sources.entries()) {
      const logits = logitsOf(i);
      const largest = logits.toSorted((a, b) => b - a).slice(0, k);
      expect(promotes).toHaveLength(k);
      for (const [rank, { token, value }] of promotes.entries()) {
        expect(value).toBeCloseTo(logits[token], 4);
        expect(value).toBeCloseTo(largest[rank], 4);
      }
      expect(isCopied).toBe(promotes.some((raised) => raised.token === token));
    }
  }

  it("raises what the values of its own key and value head become through its part of the output projection", async () => {
    const { nHeads, nKvHeads } = model.config;
    const run = await model.run(tokens, { read: ["blocks.1.attn.v"] });
    for (const h of [0, nHeads - 1]) {
      const found = await head(model, `L1.H${h}`, { on: tokens, k: 4 });
      expect(found).toMatchObject({ layer: 1, head: h, kvHead: Math.floor((h * nKvHeads) / nHeads) });
      expect(found.sources.map(({ token, position }) => [token, position])).toEqual(
        tokens.map((token, t) => [token, t]),
      );
      expectRaised(found.sources, (t) => raisedBy(run.get("blocks.1.attn.v").row(t, found.kvHead).data, 1, h), 4);
      expect(found.copying).toBe(found.sources.filter(({ isCopied }) => isCopied).length / tokens.length);
    }
  });

  it("without a text it raises what the embeddings alone become", async () => {
    const { dModel, headDim, vocabSize, nHeads } = model.config;
    const h = nHeads - 1;
    const found = await head(model, `L1.H${h}`, { k: 3 });
    expect(found.sources).toHaveLength(Math.min(512, vocabSize));
    const [gain, embed, wV] = ["blocks.1.ln1.gain", "embed", "blocks.1.attn.wV"].map(weights);
    const isLayerNorm = model.bindings.weights.has("blocks.1.ln1.bias");
    const some = found.sources.filter((_, token) => token % 37 === 0);
    const logitsOf = (i: number): number[] => {
      const row = embed.slice(some[i].token * dModel, (some[i].token + 1) * dModel);
      const seen = (isLayerNorm ? centred(row) : row).map((x, d) => x * gain[d]);
      const value = range(headDim).map((j) => {
        const from = (found.kvHead * headDim + j) * dModel;
        return dot(wV.slice(from, from + dModel), seen);
      });
      return raisedBy(value, 1, h);
    };
    expectRaised(some, logitsOf, 3);
    expect(found.queries).toEqual([]);
    expect(found.attention).toBeUndefined();
  });

  it("its lengths are those of z and of the result that a read gives, and it looks where the pattern is strongest", async () => {
    const read = ["blocks.1.attn.z", "blocks.1.attn.result", "blocks.1.attn.pattern"];
    const run = await model.run(tokens, { read });
    const { queries } = await head(model, "L1.H1", { on: tokens, k: 3 });
    for (const { position, token, zNorm, resultNorm, keys } of queries) {
      expect(token).toBe(tokens[position]);
      expect(zNorm).toBeCloseTo(length(run.get(read[0]).row(position, 1).data), 5);
      expect(resultNorm).toBeCloseTo(length(run.get(read[1]).row(position, 1).data), 5);
      const shares = Array.from(run.get(read[2]).row(1, position).data);
      const strongest = shares.map((weight, position) => ({ position, weight })).filter(({ weight }) => weight > 0);
      expect(keys).toEqual(strongest.toSorted((a, b) => b.weight - a.weight).slice(0, 3));
    }
  });

  it("has the scores, pattern and edges of the attention view", async () => {
    const found = await head(model, "L1.H1", { on: tokens });
    const { heads } = await attention(model, tokens, { layers: [1], heads: [1], nEdges: 5 });
    expect({ layer: 1, head: 1, ...found.attention }).toEqual(heads[0]);
  });

  it("what names no head, and what cannot be applied, is refused", async () => {
    const { nHeads, vocabSize } = model.config;
    for (const address of ["L1.N0", "L1", `L1.H${nHeads}`, "L9.H0", "L*.H0", "L1.H0@2", "L1.H0.q"]) {
      await expect(head(model, address)).rejects.toThrow(GolgiError);
    }
    const refused = [{ k: 0 }, { k: vocabSize + 1 }, { edits: ["L0.H0 = 0"] }, { text: "" }];
    for (const options of refused) await expect(head(model, "L1.H1", options)).rejects.toThrow(GolgiError);
  });
});
