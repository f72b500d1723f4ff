/** Recordings: what is kept of many texts. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Model, PointError, type Recording, RequestError, type Tensor } from "../node/index.ts";
import { stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { sameBits } from "./support/tensors.ts";

const texts = ["Once upon a time", "The dog", "Lily saw a big red ball in the park", "A cat sat"];
const pointNames = ["blocks.1.mlp.post", "blocks.2.residPost", "blocks.3.attn.z", "logits"];

let model: Model;
beforeAll(async () => {
  model = await open(stories260K);
});
afterAll(() => model.close());

/** Mean and population variance over the rows of all texts, by plain loops in float64. */
function momentsOf(rows: readonly Tensor[]): { mean: number[]; variance: number[] } {
  const all = rows.flatMap((tensor) => Array.from({ length: tensor.shape[0] }, (_, i) => [...tensor.row(i).data]));
  const mean = all[0].map((_, j) => all.reduce((sum, row) => sum + row[j], 0) / all.length);
  const variance = mean.map((m, j) => all.reduce((sum, row) => sum + (row[j] - m) ** 2, 0) / all.length);
  return { mean, variance };
}

/** The largest difference, as a share of the largest number. */
function relative(actual: Tensor, expected: readonly number[]): number {
  const size = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((value, i) => Math.abs(actual.data[i] - value))) / size;
}

const perText = (recording: Recording, point: string): Tensor[] =>
  texts.map((_, sequence) => recording.get(point, { sequence }));

describe("a recording of all values", () => {
  it("has what a run of each text alone reads, whatever texts share a step", async () => {
    const read = [...pointNames, "blocks.0.attn.pattern", "blocks.2.attn.result"];
    for (const batch of [1, 8, 512]) {
      const recording = await model.record(texts, { read, batch });
      for (const [sequence, text] of texts.entries()) {
        const run = await model.run(text, { read });
        expect(recording.sequences[sequence].tokens).toEqual(run.tokens);
        for (const point of read) expect(sameBits(recording.get(point, { sequence }), run.get(point))).toBe(true);
      }
    }
  });

  it("has the rows of all texts one after another", async () => {
    const recording = await model.record(texts, { read: ["blocks.1.mlp.post"] });
    const rows = recording.rows("blocks.1.mlp.post");
    const nTokens = recording.sequences.reduce((sum, { tokens }) => sum + tokens.length, 0);
    expect(rows.shape).toEqual([nTokens, model.config.dFf]);
    expect([...rows.data]).toEqual(perText(recording, "blocks.1.mlp.post").flatMap(({ data }) => [...data]));
  });

  it("has the wanted positions of each text alone, and says where they begin", async () => {
    const recording = await model.record(texts, { read: ["blocks.1.mlp.post@-1", "blocks.2.attn.scores@1:3"] });
    for (const [sequence, text] of texts.entries()) {
      const run = await model.run(text, { read: ["blocks.1.mlp.post@-1", "blocks.2.attn.scores@1:3"] });
      for (const point of recording.points) {
        expect(sameBits(recording.get(point, { sequence }), run.get(point))).toBe(true);
      }
      expect(recording.start("blocks.1.mlp.post", sequence)).toBe(run.tokens.length - 1);
      expect(recording.start("blocks.2.attn.scores", sequence)).toBe(1);
    }
    expect(recording.nRows("blocks.1.mlp.post")).toBe(texts.length);
  });

  it("takes token ids, and edits", async () => {
    const tokens = model.encode(texts[0]);
    const edits = ["L1.N7 = 2", { at: "L2.mlp", scale: 0 }];
    const recording = await model.record([tokens], { read: ["blocks.4.residPost"], edits });
    const run = await model.run(tokens, { read: ["blocks.4.residPost"], edits });
    expect(sameBits(recording.get("blocks.4.residPost"), run.get("blocks.4.residPost"))).toBe(true);
    expect(recording.provenance.edits).toEqual(["L1.N7 = 2", "L2.mlp"]);
  });

  it("gives mean and variance of its rows", async () => {
    const recording = await model.record(texts, { read: pointNames });
    for (const point of pointNames) {
      const { mean, variance } = momentsOf(perText(recording, point));
      expect(relative(recording.mean(point), mean)).toBeLessThan(1e-6);
      expect(relative(recording.variance(point), variance)).toBeLessThan(1e-6);
    }
  });
});

describe("a reduced recording", () => {
  it.each([1, 6, 512])("has the mean and variance of a full one, by steps of %i tokens", async (batch) => {
    const full = await model.record(texts, { read: [...pointNames, "blocks.2.attn.result"] });
    const reduced = await model.record(texts, {
      read: [...pointNames, "blocks.2.attn.result"],
      reduce: "variance",
      batch,
    });
    for (const point of full.points) {
      const { mean, variance } = momentsOf(perText(full, point));
      expect(reduced.mean(point).shape).toEqual(full.rows(point).shape.slice(1));
      expect(relative(reduced.mean(point), mean)).toBeLessThan(1e-6);
      expect(relative(reduced.variance(point), variance)).toBeLessThan(1e-6);
    }
  });

  it("has the right variance where the mean is ten thousand times larger than the deviation", async () => {
    const read = ["blocks.1.residPost"];
    const edits = ["L1.residPost += 10000"];
    const full = await model.record(texts, { read, edits });
    const { mean, variance } = momentsOf(perText(full, read[0]));
    const reduced = await model.record(texts, { read, edits, reduce: "variance", batch: 7 });
    expect(relative(reduced.mean(read[0]), mean)).toBeLessThan(1e-7);
    expect(relative(reduced.variance(read[0]), variance)).toBeLessThan(1e-6);
  });

  it("counts the wanted positions alone", async () => {
    const read = ["blocks.2.residPost@-1"];
    const { mean } = momentsOf(perText(await model.record(texts, { read }), "blocks.2.residPost"));
    const reduced = await model.record(texts, { read, reduce: "mean", batch: 5 });
    expect(relative(reduced.mean("blocks.2.residPost"), mean)).toBeLessThan(1e-6);
    expect(reduced.nRows("blocks.2.residPost")).toBe(texts.length);
  });

  it.each([1, 6, 512])("has the rows in which each neuron is largest, by steps of %i tokens", async (batch) => {
    const read = ["blocks.1.mlp.post", "blocks.3.attn.z"];
    const full = await model.record(texts, { read });
    const reduced = await model.record(texts, { read, reduce: { topK: 3 }, batch });
    for (const point of read) {
      const rows = texts.flatMap((_, sequence) => {
        const tensor = full.get(point, { sequence });
        return Array.from({ length: tensor.shape[0] }, (_, position) => ({
          sequence,
          position,
          row: tensor.row(position),
        }));
      });
      const { values, sequences, positions } = reduced.top(point);
      expect(values.shape).toEqual([3, ...rows[0].row.shape]);
      const width = rows[0].row.data.length;
      for (let element = 0; element < width; element++) {
        const best = rows.toSorted((a, b) => b.row.data[element] - a.row.data[element]).slice(0, 3);
        for (const [rank, { sequence, position, row }] of best.entries()) {
          const at = rank * width + element;
          expect(values.data[at]).toBeCloseTo(row.data[element], 5);
          expect([sequences.data[at], positions.data[at]]).toEqual([sequence, position]);
        }
      }
    }
  });

  it("has no more largest rows than there are rows", async () => {
    const reduced = await model.record(texts.slice(0, 1), { read: ["blocks.1.mlp.post@-1"], reduce: { topK: 100 } });
    expect(reduced.top("blocks.1.mlp.post").values.shape).toEqual([1, model.config.dFf]);
  });

  it("refuses what it does not have, and says what it is", async () => {
    const mean = await model.record(texts, { read: ["blocks.1.mlp.post"], reduce: "mean" });
    expect(() => mean.get("blocks.1.mlp.post")).toThrow(
      /must have the values; got one reduced to "mean"\. Record without/,
    );
    expect(() => mean.variance("blocks.1.mlp.post")).toThrow(/must have the variance; got one reduced to "mean"/);
    expect(() => mean.top("blocks.1.mlp.post")).toThrow(/Record with reduce: \{ topK: k \}/);
    expect(() => mean.mean("blocks.2.mlp.post")).toThrow(/must have been recorded; got points blocks\.1\.mlp\.post\./);
  });
});

describe("calls that are refused", () => {
  const untyped = (value: unknown): never => value as never;
  it.each<[string, () => Promise<unknown>, new (...args: never[]) => Error, RegExp]>([
    ["no texts", () => model.record([], { read: ["embed"] }), RequestError, /^record: texts: there must be something/],
    ["a text alone", () => model.record(untyped("a"), { read: ["embed"] }), RequestError, /must be a list of texts/],
    ["no points", () => model.record(texts, { read: [] }), RequestError, /^record: read: there must be something/],
    [
      "an empty text",
      () => model.record([[1], []], { read: ["embed"] }),
      RequestError,
      /^record: texts\[1\]: a text has 1 to 512/,
    ],
    [
      "a token that does not exist",
      () => model.record([[1], [2, 512]], { read: ["embed"] }),
      RequestError,
      /texts\[1\]: token ids are integers from 0 to 511; got 512/,
    ],
    [
      "more than memory holds",
      () => model.record(Array<number[]>(2100).fill(Array(512).fill(1)), { read: ["logits"] }),
      RequestError,
      /at most 2\.00 GiB; got 2\.05 GiB\. Write it to a file with \{ to: path \}/,
    ],
    ["a long text", () => model.record([Array(513).fill(1)], { read: ["embed"] }), RequestError, /got 513\. Split/],
    [
      "another option",
      () => model.record(texts, untyped({ read: ["embed"], reduced: 1 })),
      RequestError,
      /Did you mean reduce\?/,
    ],
    [
      "another reduction",
      () => model.record(texts, untyped({ read: ["embed"], reduce: "sum" })),
      RequestError,
      /got "sum"/,
    ],
    [
      "none of the largest",
      () => model.record(texts, { read: ["embed"], reduce: { topK: 0 } }),
      RequestError,
      /got \{"topK":0\}/,
    ],
    [
      "an empty batch",
      () => model.record(texts, { read: ["embed"], batch: 0 }),
      RequestError,
      /^record: batch: must be a number/,
    ],
    [
      "edits by text",
      () => model.record(texts, untyped({ read: ["embed"], edits: [["embed = 0"]] })),
      RequestError,
      /one list for all/,
    ],
    [
      "what was before edits",
      () => model.record(texts, { read: [{ at: "embed", before: true }] }),
      PointError,
      /as they are after edits/,
    ],
    [
      "a position that a text lacks",
      () => model.record(texts, { read: ["embed@9"] }),
      PointError,
      /positions must lie/,
    ],
    ["no rows", () => model.record(texts, { read: ["embed@2:2"] }), PointError, /at least one row/],
    [
      "a mean over keys",
      () => model.record(texts, { read: ["blocks.0.attn.pattern"], reduce: "mean" }),
      PointError,
      /one shape/,
    ],
  ])("%s", async (_, call, type, message) => {
    const error = (await call().catch((reason) => reason)) as Error;
    expect(error).toBeInstanceOf(type);
    expect(error.message).toMatch(message);
  });

  it("a sequence that must be chosen, or is not there", async () => {
    const recording = await model.record(texts, { read: ["embed", "blocks.0.attn.pattern"] });
    expect(() => recording.get("embed")).toThrow(/a recording of several texts needs \{ sequence: i \}/);
    expect(() => recording.get("embed", { sequence: 4 })).toThrow(/sequence must be 0 to 3; got 4/);
    expect(() => recording.mean("blocks.0.attn.pattern")).toThrow(/as many keys as each sequence has/);
  });
});
