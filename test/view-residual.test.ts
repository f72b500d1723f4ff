/** The residual view against plain loops over the points that a run reads. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RequestError } from "../src/errors.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { residual } from "../src/views/residual.ts";
import { open } from "./support/open.ts";
import { dot, length, range, repeatingTokens, sum, VIEW_CASES } from "./support/view-cases.ts";

describe.each(VIEW_CASES)("on %s", (name, directory) => {
  let model: Model;
  let tokens: number[];
  let run: Run;
  /** The points of the stream, and of what is added to it, from the embedding up. */
  let stream: string[];
  let added: string[];
  beforeAll(async () => {
    model = await open(directory);
    tokens = await repeatingTokens(name, model);
    run = await model.run(tokens, { read: ["**"] });
    const layers = range(model.config.nLayers);
    stream = ["blocks.0.residPre", ...layers.flatMap((i) => [`blocks.${i}.residMid`, `blocks.${i}.residPost`])];
    added = layers.flatMap((i) => [`blocks.${i}.attn.contribution`, `blocks.${i}.mlp.contribution`]);
  });
  afterAll(() => model.close());

  const row = (point: string, position: number): number[] => Array.from(run.get(point).row(position).data);
  const cosine = (a: readonly number[], b: readonly number[]): number => dot(a, b) / (length(a) * length(b));

  it.each([0, 5, -1])("norms and angles at position %i are those of the vectors that a read gives", async (asked) => {
    const found = await residual(model, tokens, { position: asked });
    const position = asked < 0 ? tokens.length + asked : asked;
    expect(found.position).toBe(position);
    expect(found.stream.map(({ point }) => point)).toEqual(stream);
    const [embedding, final] = [row(stream[0], position), row(stream.at(-1)!, position)];
    for (const [i, at] of found.stream.entries()) {
      const x = row(at.point, position);
      expect(at.norm).toBeCloseTo(length(x), 4);
      expect(at.cosineEmbedding).toBeCloseTo(cosine(x, embedding), 5);
      expect(at.cosineFinal).toBeCloseTo(cosine(x, final), 5);
      if (i === 0) expect(at.cosineBelow).toBeNull();
      else expect(at.cosineBelow).toBeCloseTo(cosine(x, row(stream[i - 1], position)), 5);
    }
    expect(found.parts.map(({ point }) => point)).toEqual([stream[0], ...added]);
    for (const [i, part] of found.parts.entries()) {
      const x = row(part.point, position);
      expect(part.norm).toBeCloseTo(length(x), 4);
      expect(part.shareOfFinal).toBeCloseTo(dot(x, final) / dot(final, final), 5);
      if (i > 0) expect(part.cosineStream).toBeCloseTo(cosine(x, row(stream[i - 1], position)), 5);
    }
  });

  it("the shares of all parts along the final stream add up to 1", async () => {
    for (const position of [0, 7]) {
      const { parts } = await residual(model, tokens, { position });
      expect(sum(parts.map(({ shareOfFinal }) => shareOfFinal))).toBeCloseTo(1, 5);
    }
  });

  it("the heat map has the norm of every height at every token, and its rows are the same", async () => {
    const { norms, rows, stream: heights, tokens: shown } = await residual(model, tokens);
    for (const [i, { point }] of heights.entries()) {
      for (const position of range(tokens.length)) {
        const norm = norms[i][position];
        expect(norm).toBeCloseTo(length(row(point, position)), 5);
        expect(rows[i * tokens.length + position]).toEqual({ point, position, text: shown[position].text, norm });
      }
    }
  });

  it("edits show from where they are on", async () => {
    const edits = ["blocks.1.mlp.contribution = 0"];
    const [plain, edited] = [await residual(model, tokens), await residual(model, tokens, { edits })];
    const changed = plain.stream.findIndex(({ norm }, i) => norm !== edited.stream[i].norm);
    expect(plain.stream[changed].point).toBe("blocks.1.residPost");
    expect(edited.parts.find(({ point }) => point === "blocks.1.mlp.contribution")).toMatchObject({
      norm: 0,
      cosineStream: null,
      shareOfFinal: 0,
    });
  });

  it("positions beyond the text, and options that it does not know, are refused", async () => {
    const n = tokens.length;
    for (const options of [{ position: n }, { position: -n - 1 }, { position: 0.5 }, { layer: 1 }]) {
      await expect(residual(model, tokens, options)).rejects.toThrow(RequestError);
    }
  });
});
