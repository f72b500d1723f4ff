/** What can be read of experts and routers. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRecording } from "../node/index.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { fixture, goldenTokens } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { SPARSE_GOLDENS } from "./support/sparse-families.ts";
import { deviation } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const PARTS = ["pre", "preLinear", "post", "out", "contribution"] as const;

describe.each(SPARSE_GOLDENS)("reads of %s", (name) => {
  let model: Model;
  let tokens: number[];
  let layer: number;
  let nExperts: number;
  let whole: Run;
  let indices: Tensor;

  beforeAll(async () => {
    model = await open(fixture(`goldens/${name}`));
    tokens = await goldenTokens(name);
    const { layers = [], nExperts: n = 0 } = model.config.sparse ?? {};
    layer = layers.lastIndexOf(true);
    nExperts = n;
    const read = [...PARTS.map((part) => `blocks.${layer}.experts.${part}`), `blocks.${layer}.router.*`];
    whole = await model.run(tokens, { read });
    indices = whole.get(`blocks.${layer}.router.indices`);
  });
  afterAll(() => model.close());

  /** Where tokens went to an expert: position and place. */
  const places = (expert: number, at = indices): (readonly [t: number, place: number])[] =>
    range(at.shape[0]).flatMap((t) => {
      const place = at.row(t).data.indexOf(expert);
      return place < 0 ? [] : [[t, place] as const];
    });

  it("give of one expert the rows whose tokens went to it, and none where no token did", async () => {
    const read = range(nExperts).map((expert) => `blocks.${layer}.experts.${expert}.*`);
    const run = await model.run(tokens, { read });
    for (const expert of range(nExperts)) {
      const chosen = places(expert);
      for (const part of PARTS) {
        const point = `blocks.${layer}.experts.${expert}.${part}`;
        const [found, all] = [run.get(point), whole.get(`blocks.${layer}.experts.${part}`)];
        expect(found.shape).toEqual([chosen.length, all.shape[2]]);
        expect(run.positions(point)).toEqual(chosen.map(([t]) => t));
        expect(run.fired[point]).toBe(chosen.length);
        for (const [i, [t, place]] of chosen.entries()) {
          expect(deviation(found.row(i), all.row(t, place))).toBeLessThanOrEqual(TOLERANCE.rows);
        }
      }
      const weights = run.get(`L${layer}.E${expert}.weight`);
      expect(weights.shape).toEqual([chosen.length]);
      for (const [i, [t, place]] of chosen.entries()) {
        expect(weights.at(i)).toBeCloseTo(whole.get(`L${layer}.router`).at(t, place), 4);
      }
    }
    // Every place belongs to one expert.
    const nRows = range(nExperts).reduce((sum, expert) => sum + run.fired[`blocks.${layer}.experts.${expert}.post`], 0);
    expect(nRows).toBe(indices.data.length);
  });

  it("say where an expert was not chosen, without an error", async () => {
    const [token] = tokens;
    const run = await model.run([token], { read: range(nExperts).map((expert) => `L${layer}.E${expert}.post`) });
    const idle = range(nExperts).filter((expert) => run.fired[`blocks.${layer}.experts.${expert}.post`] === 0);
    expect(idle.length).toBe(nExperts - indices.shape[1]);
    expect(run.get(`L${layer}.E${idle[0]}.post`).shape).toEqual([0, model.config.sparse?.dExpert]);
    expect(run.positions(`L${layer}.E${idle[0]}.post`)).toEqual([]);
    expect(() => run.mean(`L${layer}.E${idle[0]}.post`)).toThrow("no token that went to the expert");
  });

  it("take addresses, other tools' names, positions and batches", async () => {
    const expert = indices.at(4, 0);
    const alias = `blocks.${layer}.mlp.experts.${expert}.hook_post`;
    const run = await model.run([tokens, tokens.slice(0, 3)], { read: [alias] });
    const own = { sequence: 0 };
    const neuron = run.get(`L${layer}.E${expert}.N2`, own);
    expect(neuron.shape).toEqual([places(expert).length]);
    expect([...neuron.data]).toEqual(range(neuron.shape[0]).map((i) => run.get(alias, own).at(i, 2)));
    const short = places(expert).filter(([t]) => t < 3);
    expect(run.positions(alias, { sequence: 1 })).toEqual(short.map(([t]) => t));
    expect(run.get(alias, { sequence: 1 }).shape[0]).toBe(short.length);
    expect(() => run.positions(alias)).toThrow("a batch needs { sequence: i }");
    const at = await model.run(tokens, { read: [`L${layer}.E${expert}@3:6`] });
    const here = places(expert).filter(([t]) => t >= 3 && t < 6);
    expect(at.positions(`L${layer}.E${expert}`)).toEqual(here.map(([t]) => t));
    expect(at.get(`L${layer}.E${expert}`).shape).toEqual([here.length, model.config.dModel]);
  });

  it("give which experts were chosen as whole numbers, at positions and step by step", async () => {
    const point = `blocks.${layer}.router.indices`;
    expect(model.points().find(({ name }) => name === point)).toMatchObject({ type: "int", writable: false });
    expect(indices.data).toBeInstanceOf(Int32Array);
    const some = await model.run([tokens, tokens], { read: [`${point}@2:5`] });
    expect([...some.get(point, { sequence: 1 }).data]).toEqual([
      ...indices.data.slice(2 * indices.shape[1], 5 * indices.shape[1]),
    ]);
    expect(some.positions(point, { sequence: 1 })).toEqual([2, 3, 4]);
    const session = model.session();
    for (const [t, token] of tokens.slice(0, 4).entries()) {
      const run = await session.append([token], { read: [point, `L${layer}.E0.post`] });
      expect([...run.get(point).data]).toEqual([...indices.row(t).data]);
      expect(run.positions(`L${layer}.E0.post`)).toEqual(indices.row(t).data.includes(0) ? [t] : []);
    }
    session.close();
    expect(() => whole.mean(point)).toThrow("a mean is one of real numbers");
  });

  it("belong to the caller, who may write to a whole point and read a part of it afterwards", async () => {
    const points = [`blocks.${layer}.router.indices`, `blocks.${layer}.experts.post`];
    const [expert] = indices.data;
    const part = `L${layer}.E${expert}.post`;
    const run = await model.run(tokens, { read: [...points, part] });
    for (const point of points) run.get(point).data.fill(-1);
    expect(run.positions(part)).toEqual(places(expert).map(([t]) => t));
    const all = whole.get(points[1]);
    for (const [i, [t, place]] of places(expert).entries()) {
      expect(deviation(run.get(part).row(i), all.row(t, place))).toBeLessThanOrEqual(TOLERANCE.rows);
    }
  });

  it("are recorded whole, with which experts were chosen, and not of single experts", async () => {
    const point = `blocks.${layer}.router.indices`;
    const folder = await mkdtemp(join(tmpdir(), "golgi-moe-"));
    const to = join(folder, "moe.safetensors");
    const read = [point, `blocks.${layer}.experts.post@1:4`];
    const inMemory = await model.record([tokens, tokens], { read });
    await model.record([tokens, tokens], { read, to });
    for (const recording of [inMemory, await openRecording(to)]) {
      const found = recording.get(point, { sequence: 1 });
      expect(found.data).toBeInstanceOf(Int32Array);
      expect([...found.data]).toEqual([...indices.data]);
      expect(recording.get(read[1].split("@")[0], { sequence: 0 }).shape[0]).toBe(3);
      expect(() => recording.mean(point)).toThrow("a mean is one of real numbers");
    }
    await rm(folder, { recursive: true });
    const refused = model.record([tokens], { read: [`L${layer}.E1.post`] });
    await expect(refused).rejects.toThrow(
      `got what expert 1 holds, for the tokens that went to it. Record blocks.${layer}.experts.post and ${point}`,
    );
    await expect(model.record([tokens], { read: [point], reduce: "mean" })).rejects.toThrow("only real numbers");
  });
});
