/** What must hold of every model, whatever its numbers: nothing that is asked for changes what is computed. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ReadSpec } from "../node/index.ts";
import type { Point } from "../src/points/catalog.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { fixture, goldenTokens } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { rowsOf, sameBits, sameRows, stacked } from "./support/tensors.ts";

/** One of each family, with windows, grouped heads, biases, tied embeddings and scaled rotary frequencies. */
const NAMES = ["gpt2", "llama-bias-headdim-tied", "llama-yarn", "mistral-window", "qwen2-window", "qwen3"];

const isOverKeys = ({ shape }: Point): boolean => shape.includes("S");
const isOfLogits = ({ shape }: Point): boolean => shape[0] === "R";

describe.each(NAMES)("%s", (name) => {
  let model: Model;
  let tokens: readonly number[];
  let points: readonly Point[];
  /** Everything of all tokens in one step. */
  let whole: Run;

  beforeAll(async () => {
    model = await open(fixture(`goldens/${name}`));
    tokens = await goldenTokens(name);
    points = model.points();
    whole = await model.run(tokens, { read: ["**"] });
  });
  afterAll(() => model.close());

  /** Names of the points whose tensors are not the same as rows [from, to) of the whole run. */
  function differing(
    get: (point: Point) => Tensor,
    among: readonly Point[],
    from: number,
    to: number,
    same = sameRows,
  ) {
    return among
      .filter((point) => !same(get(point), rowsOf(whole.get(point.name), isOverKeys(point), from, to)))
      .map(({ name }) => name);
  }

  it("gives every point exactly once for every token", () => {
    expect(whole.points.toSorted()).toEqual(points.map(({ name }) => name).toSorted());
    expect(Object.values(whole.fired)).toEqual(points.map(() => tokens.length));
  });

  it("gives the same logits, to the bit, whatever is read", async () => {
    const reads: ReadSpec[][] = [[], ["**"], ["blocks.**@-1"], ["blocks.*.attn.pattern@2:5", "blocks.1.attn.z"]];
    for (const read of [...reads, ...points.map((point) => [point.name])]) {
      const { logits } = await model.run(tokens, { read });
      expect(sameBits(logits, whole.logits), `read: ${JSON.stringify(read)}`).toBe(true);
    }
  });

  it("gives a point the same bits alone, with any others, and without logits", async () => {
    for (const point of points) {
      const alone = await model.run(tokens, { read: [point.name], logits: "none" });
      expect(differing(({ name }) => alone.get(name), [point], 0, tokens.length)).toEqual([]);
    }
    const some = fc.uniqueArray(fc.constantFrom(...points), { minLength: 2, maxLength: 6, selector: (p) => p.name });
    await fc.assert(
      fc.asyncProperty(some, async (chosen) => {
        const run = await model.run(tokens, { read: chosen.map((point) => point.name) });
        expect(differing(({ name }) => run.get(name), chosen, 0, tokens.length)).toEqual([]);
      }),
      { numRuns: 10 },
    );
  });

  it("gives a point the same bits by each of its names in other tools", async () => {
    const aliases = points.flatMap((point) => point.aliases.map((alias) => [alias, point.name] as const));
    const run = await model.run(tokens, { read: aliases.map(([alias]) => alias) });
    const wrong = aliases.filter(([alias, name]) => !sameBits(run.get(alias), whole.get(name)));
    expect(wrong).toEqual([]);
    for (const [alias, name] of aliases) expect(model.resolveReads([alias]).map((r) => r.entry.name)).toEqual([name]);
  });

  it("gives positions as the rows of the whole", async () => {
    const n = tokens.length;
    const positioned = points.filter((point) => !isOfLogits(point));
    const specs: [read: (point: string) => ReadSpec, from: number, to: number][] = [
      [(point) => `${point}@-1`, n - 1, n],
      [(point) => `${point}@0`, 0, 1],
      [(point) => `${point}@2:5`, 2, 5],
      [(point) => `${point}@9:9`, 9, 9],
      [(at) => ({ at, positions: [-4, -1] }), n - 4, n - 1],
      [(at) => ({ at, positions: "all" }), 0, n],
    ];
    for (const [read, from, to] of specs) {
      const run = await model.run(tokens, { read: positioned.map(({ name }) => read(name)), logits: "none" });
      expect(differing(({ name }) => run.get(name), positioned, from, to)).toEqual([]);
    }
  });

  it("gives the logits that are asked for, and probs of the same rows", async () => {
    const last = await model.run(tokens, { read: ["probs"], logits: "last" });
    const n = tokens.length;
    expect(sameRows(last.logits, rowsOf(whole.logits, false, n - 1, n))).toBe(true);
    expect(sameRows(last.get("probs"), rowsOf(whole.get("probs"), false, n - 1, n))).toBe(true);
    const none = await model.run(tokens, { logits: "none" });
    expect(() => none.logits).toThrow("logits are there when they were asked for");
  });

  it("gives the same bits in steps of any sizes", async () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: tokens.length, maxLength: tokens.length });
    const inSteps = async (sizes: readonly number[]) => {
      const session = model.session();
      for (let at = 0, step = 0; at < tokens.length; step++) {
        const to = Math.min(at + sizes[step], tokens.length);
        const run = await session.append(tokens.slice(at, to), { read: ["**"] });
        expect(differing(({ name }) => run.get(name), points, at, to)).toEqual([]);
        at = to;
      }
      expect(session.tokens).toEqual(tokens);
      session.close();
    };
    await inSteps(tokens.map(() => 1));
    await fc.assert(fc.asyncProperty(cuts, inSteps), { numRuns: 8 });
  });

  it("gives each sequence of a batch the bits that it has alone", async () => {
    const ends = [tokens.length, 1, 7, 17];
    const batch = ends.map((end) => tokens.slice(0, end));
    const positioned = points.filter((point) => !isOfLogits(point));
    const all = await model.run(batch, { read: ["**"] });
    const last = await model.run(batch, { read: positioned.map(({ name }) => `${name}@-1`), logits: "last" });
    for (const [sequence, end] of ends.entries()) {
      expect(differing(({ name }) => all.get(name, { sequence }), points, 0, end)).toEqual([]);
      expect(differing(({ name }) => last.get(name, { sequence }), positioned, end - 1, end)).toEqual([]);
      expect(sameRows(last.logits.row(sequence), whole.logits.row(end - 1))).toBe(true);
    }
    expect(sameRows(all.logits, stacked(ends.map((end) => rowsOf(whole.logits, false, 0, end))))).toBe(true);
  });

  it("keeps sessions apart that grow in turns, and reuses the memory of those that are closed", async () => {
    const [first, second] = [model.session(), model.session()];
    await first.append(tokens.slice(0, 9));
    await second.append(tokens.slice(0, 18).toReversed());
    first.close();
    const third = model.session();
    for (let at = 0; at < tokens.length; at += 6) {
      const [from, to] = [at, Math.min(at + 6, tokens.length)];
      const [run] = await Promise.all([
        third.append(tokens.slice(from, to), { read: ["**"] }),
        second.append([tokens[0]]),
        model.run(tokens.slice(from, to)),
      ]);
      expect(differing(({ name }) => run.get(name), points, from, to)).toEqual([]);
    }
    second.close();
    third.close();
  });

  it("changes nothing before a token that changes, and its own row from the embedding to the logits", async () => {
    const t = 11;
    const others = tokens.with(t, (tokens[t] + 1) % model.config.vocabSize);
    const run = await model.run(others, { read: ["**"] });
    const rows = (from: number, to: number) => (point: Point) =>
      rowsOf(run.get(point.name), isOverKeys(point), from, to);
    expect(differing(rows(0, t), points, 0, t)).toEqual([]);
    const ownRow = points.filter(({ name }) => /^(embed|logits|probs)$|resid|\.(out|q|k|v|z|result)$/.test(name));
    expect(differing(rows(t, t + 1), ownRow, t, t + 1)).toEqual(ownRow.map(({ name }) => name));
  });
});
