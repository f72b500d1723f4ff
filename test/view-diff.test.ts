/** The diff view against plain loops over everything that two runs read. */

import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GolgiError, RequestError } from "../src/errors.ts";
import { openModel, reference } from "../src/index.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { type Diff, diff, grouped } from "../src/views/diff.ts";
import { distance, divergence } from "../src/views/diff-values.ts";
import { routerDiff } from "../src/views/router-diff.ts";
import { MemoryFolder } from "./checkpoint-files.ts";
import { golden, toFolder, toGguf } from "./support/conversions.ts";
import { fixture, goldenTokens, stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { SPARSE_GOLDENS } from "./support/sparse-families.ts";
import { sparseStoriesFiles } from "./support/sparse-stories.ts";
import { dot, length, range, repeatingTokens, sum, VIEW_CASES } from "./support/view-cases.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

/** Everything that the view says, in float64. */
function expectDifferences(found: Diff, a: Run, b: Run): void {
  for (const { point, maxAbs, meanAbs, relative, cosine, worstPosition } of found.points) {
    const [x, y] = [a.get(point), b.get(point)];
    // Keys that a row does not see have the same −inf in both.
    const pairs = Array.from(x.data, (value, i) => [value, y.data[i]] as const).filter(([value]) =>
      Number.isFinite(value),
    );
    const [p, q] = [pairs.map(([value]) => value), pairs.map(([, value]) => value)];
    const deltas = p.map((value, i) => Math.abs(value - q[i]));
    expect(maxAbs).toBe(Math.max(...deltas));
    expect(meanAbs).toBeCloseTo(sum(deltas) / x.data.length, 10);
    expect(relative).toBeCloseTo(length(deltas) / length(p), 8);
    expect(cosine).toBeCloseTo(dot(p, q) / (length(p) * length(q)), 8);
    const axis = point.endsWith("scores") || point.endsWith("pattern") ? 1 : 0;
    const nInner = x.shape.slice(axis + 1).reduce((product, size) => product * size, 1);
    const isWorst = (_: number, i: number) =>
      Math.floor(i / nInner) % x.shape[axis] === worstPosition && Math.abs(x.data[i] - y.data[i]) === maxAbs;
    if (maxAbs > 0) expect(x.data.some(isWorst)).toBe(true);
  }
  for (const { position, divergence, likeliestA, likeliestB } of found.predictions) {
    const [logitsA, logitsB] = [a, b].map((run) => Array.from(run.logits.row(position).data));
    const [p, q] = [softmax(logitsA), softmax(logitsB)];
    expect(divergence).toBeCloseTo(sum(p.map((share, i) => share * Math.log(share / q[i]))), 8);
    expect(likeliestA.token).toBe(logitsA.indexOf(Math.max(...logitsA)));
    expect(likeliestB.token).toBe(logitsB.indexOf(Math.max(...logitsB)));
  }
  expect(found.meanDivergence).toBeCloseTo(
    sum(found.predictions.map(({ divergence }) => divergence)) / a.tokens.length,
    10,
  );
  const changed = found.predictions.filter(({ likeliestA, likeliestB }) => likeliestA.token !== likeliestB.token);
  expect(found.nLikeliestChanged).toBe(changed.length);
}

function softmax(logits: readonly number[]): number[] {
  const total = sum(logits.map(Math.exp));
  return logits.map((logit) => Math.exp(logit) / total);
}

describe.each(VIEW_CASES)("on %s", (name, directory) => {
  let model: Model;
  let tokens: number[];
  beforeAll(async () => {
    model = await open(directory);
    tokens = await repeatingTokens(name, model);
  });
  afterAll(() => model.close());

  it("a model does not differ from itself", async () => {
    const found = await diff(model, model, tokens);
    expect(found.firstDifference).toBeNull();
    for (const point of found.points) expect(point).toMatchObject({ maxAbs: 0, meanAbs: 0, relative: 0 });
    expect(found.meanDivergence).toBe(0);
    expect(found.nLikeliestChanged).toBe(0);
  });

  it("an edit shows from its own point on, in every number", async () => {
    const edits = ["blocks.1.attn.z[0] = 0"];
    const found = await diff(model, { model, edits }, tokens);
    expect(found.firstDifference).toBe("blocks.1.attn.z");
    const [a, b] = [await model.run(tokens, { read: ["**"] }), await model.run(tokens, { read: ["**"], edits })];
    expectDifferences(found, a, b);
    const relative = found.points.map((point) => point.relative);
    expect(relative).toEqual(relative.toSorted((p, q) => q - p));
  });

  it("names each value once, and in the order in which they are computed in its rows", async () => {
    const { points, rows } = await diff(model, model, tokens);
    const names = rows.map(({ point }) => point);
    const all = model.points().map((point) => point.name);
    expect(names).toEqual(all.filter((point) => names.includes(point)));
    expect(names).toContain("blocks.0.residPost");
    for (const copy of ["blocks.1.residPre", "blocks.0.attn.contribution", "blocks.0.attn.result", "probs"]) {
      expect(names).not.toContain(copy);
    }
    expect(new Set(points.map(({ point }) => point))).toEqual(new Set(names));
  });

  it("compares the points asked for, and says from which threshold on they differ", async () => {
    const edits = ["blocks.0.mlp.out *= 1.001"];
    const points = ["blocks.*.residPost", "blocks.1.attn.pattern"];
    const { rows, firstDifference } = await diff(model, { model, edits }, tokens, { points });
    expect(rows.map(({ point }) => point).sort()).toEqual(
      model
        .resolveReads(points)
        .map(({ entry }) => entry.name)
        .sort(),
    );
    expect(firstDifference).toBe("blocks.0.residPost");
    expect((await diff(model, { model, edits }, tokens, { points, threshold: 1e3 })).firstDifference).toBeNull();
  });

  it("groups of points stay within their bytes, and hold each point once and in order", () => {
    const entries = model.resolveReads(["**"]).map(({ entry }) => entry);
    const bytesOf = ({ shape }: (typeof entries)[number]) =>
      4 * shape.reduce((product: number, dim) => product * (typeof dim === "number" ? dim : 50), 1);
    for (const maxBytes of [1, 30_000, 200_000, 2 ** 40]) {
      const groups = grouped(entries, 50, maxBytes);
      expect(groups.flat()).toEqual(entries);
      for (const group of groups) expect(group.length === 1 || sum(group.map(bytesOf)) <= maxBytes).toBe(true);
      expect(groups.length).toBe(maxBytes === 1 ? entries.length : maxBytes === 2 ** 40 ? 1 : groups.length);
    }
  });

  it("asks for what can be compared", async () => {
    const refused = [
      { threshold: -1 },
      { threshold: Number.NaN },
      { points: ["blocks.0.residPost@1"] },
      { points: ["nothing"] },
    ];
    for (const options of refused) await expect(diff(model, model, tokens, options)).rejects.toThrow(GolgiError);
    await expect(diff(model, { model, edit: [] } as never, tokens)).rejects.toThrow("edit");
  });
});

describe.each(SPARSE_GOLDENS)("on the experts of %s", (name) => {
  let model: Model;
  let tokens: number[];
  let [a, b]: Run[] = [];
  let layer: number;
  let edits: string[];
  beforeAll(async () => {
    model = await open(fixture(`goldens/${name}`));
    tokens = (await goldenTokens(name)).slice(0, 24);
    layer = model.config.sparse!.layers.lastIndexOf(true);
    edits = [`L${layer}.H0 *= 4`];
    [a, b] = [await model.run(tokens, { read: ["**"] }), await model.run(tokens, { read: ["**"], edits })];
  });
  afterAll(() => model.close());

  const isSame = (point: string, position: number): boolean =>
    a
      .get(point)
      .row(position)
      .data.every((value, i) => value === b.get(point).row(position).data[i]);

  it("choices are counted, not measured", async () => {
    const { choices, rows } = await diff(model, { model, edits }, tokens);
    const names = model
      .points()
      .map((point) => point.name)
      .filter((point) => /router\.(indices|groupMask)$/.test(point));
    expect(choices.map(({ point }) => point)).toEqual(names);
    expect(rows.some(({ point }) => names.includes(point))).toBe(false);
    for (const { point, nChanged, nChoices, nPositionsChanged, firstPosition } of choices) {
      const isMask = point.endsWith("groupMask");
      const chosenBy = (run: Run, position: number): number[] => {
        const row = Array.from(run.get(point).row(position).data);
        return isMask ? range(row.length).filter((group) => row[group] === 1) : row;
      };
      const lost = tokens.map((_, position) => {
        const [ofA, ofB] = [chosenBy(a, position), chosenBy(b, position)];
        return ofA.filter((choice) => !ofB.includes(choice)).length;
      });
      expect(nChanged).toBe(sum(lost));
      expect(nChoices).toBe(sum(tokens.map((_, position) => chosenBy(a, position).length)));
      expect(nPositionsChanged).toBe(lost.filter((n) => n > 0).length);
      expect(firstPosition).toBe(lost.some((n) => n > 0) ? lost.findIndex((n) => n > 0) : null);
    }
    expect(choices.at(-1)?.nChanged).toBeGreaterThan(0);
  });

  it("what has a place for each expert is compared where the experts are the same, and it says where not", async () => {
    const found = await diff(model, { model, edits }, tokens);
    const slots = ["router.weights", "experts.pre", "experts.preLinear", "experts.post", "experts.out"];
    for (const point of slots.map((slot) => `blocks.${layer}.${slot}`)) {
      const { nLeftOut, maxAbs, worstPosition } = found.rows.find((row) => row.point === point)!;
      const same = range(tokens.length).filter((position) => isSame(`blocks.${layer}.router.indices`, position));
      expect(nLeftOut).toBe(tokens.length - same.length);
      const deltas = same.map((position) => {
        const [x, y] = [a, b].map((run) => run.get(point).row(position).data);
        return Math.max(...Array.from(x, (value, i) => Math.abs(value - y[i])));
      });
      expect(maxAbs).toBe(Math.max(...deltas));
      expect(worstPosition).toBe(same[deltas.indexOf(maxAbs)]);
      expect(nLeftOut).toBeGreaterThan(0);
    }
    const mask = `blocks.${layer}.router.groupMask`;
    const limited = found.rows.find((row) => row.point === `blocks.${layer}.router.limitedScores`)!;
    const nOther = a.points.includes(mask) ? range(tokens.length).filter((t) => !isSame(mask, t)).length : 0;
    expect(limited.nLeftOut).toBe(nOther);
    expect(Number.isFinite(limited.maxAbs)).toBe(true);
    expect(`${found}`).toContain("Choices of experts change");
  });

  it("what one expert holds is compared at tokens that both runs sent to it", async () => {
    const indices = `blocks.${layer}.router.indices`;
    const flipped = range(tokens.length).find((position) => !isSame(indices, position))!;
    const [expert] = a.get(indices).row(flipped).data;
    const point = `blocks.${layer}.experts.${expert}.post`;
    const { rows } = await diff(model, { model, edits }, tokens, { points: [point] });
    const positions = await Promise.all(
      [undefined, edits].map(async (list) =>
        (await model.run(tokens, { read: [point], edits: list })).positions(point),
      ),
    );
    const together = positions[0].filter((position) => positions[1].includes(position));
    expect(rows).toMatchObject([{ point, nLeftOut: new Set(positions.flat()).size - together.length }]);
    expect(together).toContain(rows[0].worstPosition);
  });

  it("a point without an expert is compared everywhere", async () => {
    const { rows } = await diff(model, { model, edits }, tokens, { points: [`blocks.${layer}.mlp.out`] });
    expect(rows).toMatchObject([{ nLeftOut: 0 }]);
  });
});

describe("two models", () => {
  const opened: Model[] = [];
  const keep = (model: Model): Model => {
    opened.push(model);
    return model;
  };
  afterAll(() => Promise.all(opened.map((model) => model.close())));

  it("a quantised model differs from its original by no more than its rounding, from the embedding on", async () => {
    const original = keep(await open(fixture("goldens/llama")));
    const files = await toGguf(await golden("llama"), { type: "q8_0" });
    const quantised = keep(await openModel(files, host, [reference]));
    const tokens = [1, 5, 9, 13, 2, 40];
    const found = await diff(original, quantised, tokens);
    const [a, b] = await Promise.all([original, quantised].map((model) => model.run(tokens, { read: ["**"] })));
    expectDifferences(found, a, b);
    expect(found.firstDifference).toBe("embed");
    const embed = found.rows.find(({ point }) => point === "embed")!;
    expect(embed.relative).toBeGreaterThan(1e-4);
    expect(embed.relative).toBeLessThan(0.01);
  });

  it("weights in fewer bits change some choices of experts, where these were close", async () => {
    const files = { folder: new MemoryFolder(sparseStoriesFiles({ nExperts: 256, nExpertsPerToken: 8 })) };
    const original = keep(await openModel(files, host, [reference]));
    const rounded = keep(await openModel(await toFolder(files, { type: "bf16" }), host, [reference]));
    const tokens = original.encode("Lily and her mom went to the park. She saw a big");
    const { rows, changes, nChanged, nChoices } = await routerDiff(original, rounded, tokens);
    const [a, b] = await Promise.all(
      [original, rounded].map((model) => model.run(tokens, { read: ["blocks.*.router.indices"] })),
    );
    for (const { layer, position, left, came } of rows) {
      const [ofA, ofB] = [a, b].map((run) => Array.from(run.get(`blocks.${layer}.router.indices`).row(position).data));
      expect([left, came]).toEqual([ofA.filter((e) => !ofB.includes(e)), ofB.filter((e) => !ofA.includes(e))]);
    }
    expect(changes.length).toBeGreaterThan(0);
    expect(nChanged).toBe(sum(rows.map(({ left }) => left.length)));
    expect(nChoices).toBe(2 * 8 * tokens.length);
  });

  it("of different shapes, or with different tokens, are refused with the reason", async () => {
    const [a, b] = [keep(await open(fixture("goldens/llama"))), keep(await open(fixture("goldens/gpt2")))];
    await expect(diff(a, b, [1, 2])).rejects.toThrow(/same shape.*got \d+ and \d+/);
    const stories = keep(await open(stories260K));
    const files = Object.fromEntries(
      readdirSync(stories260K).map((file) => [file, readFileSync(`${stories260K}/${file}`)]),
    );
    const tokenizer = { ...JSON.parse(files["tokenizer.json"].toString()), post_processor: null };
    const config = { ...JSON.parse(files["tokenizer_config.json"].toString()), add_bos_token: false };
    const changed = { "tokenizer.json": tokenizer, "tokenizer_config.json": config };
    for (const [file, json] of Object.entries(changed)) files[file] = Buffer.from(JSON.stringify(json));
    const folder = new MemoryFolder(files);
    const withoutBos = keep(await openModel({ folder }, host, [reference]));
    const refusal = diff(stories, withoutBos, "Once upon a time");
    await expect(refusal).rejects.toThrow(RequestError);
    await expect(refusal).rejects.toThrow(
      /got \d+ and \d+ tokens, of which the one at position 0 is the first to differ/,
    );
  });
});

describe("distances", () => {
  const tensor = (...values: number[]) => new Tensor([values.length], Float64Array.from(values));

  it("equal infinities do not differ, and what is no number differs infinitely", () => {
    const { NEGATIVE_INFINITY, NaN: nan, POSITIVE_INFINITY } = Number;
    expect(distance(tensor(NEGATIVE_INFINITY, nan, 1), tensor(NEGATIVE_INFINITY, nan, 1), 0).maxAbs).toBe(0);
    expect(distance(tensor(1, nan), tensor(1, 2), 0)).toMatchObject({ maxAbs: POSITIVE_INFINITY, worstRow: 1 });
  });

  it("a zero vector has no cosine, and anything is infinitely far from it", () => {
    expect(distance(tensor(0, 0), tensor(0, 3), 0)).toEqual({
      ...{ maxAbs: 3, meanAbs: 1.5, relative: Number.POSITIVE_INFINITY, cosine: null, worstRow: 1 },
    });
  });

  it("a divergence is that of the textbook, and knows impossible tokens", () => {
    // KL((1/2, 1/2) ‖ (1/4, 3/4)) = ln 2 − ln 3 / 2
    expect(divergence([0, 0], [0, Math.log(3)])).toBeCloseTo(Math.log(2) - Math.log(3) / 2, 12);
    expect(divergence([0, Number.NEGATIVE_INFINITY], [0, 0])).toBeCloseTo(Math.log(2), 12);
    expect(divergence([0, 0], [0, Number.NEGATIVE_INFINITY])).toBe(Number.POSITIVE_INFINITY);
    expect(range(3).map(() => divergence([1e3, 0], [1e3, 0]))).toEqual([0, 0, 0]);
  });
});
