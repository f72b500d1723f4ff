/** What edits change, to the last bit where that can be said, and what they leave alone. */

import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeSafetensors } from "../src/checkpoint/write-safetensors.ts";
import type { EditObject, EditSpec } from "../src/glass/edit-spec.ts";
import { openModel, reference } from "../src/index.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { MemoryFolder } from "./checkpoint-files.ts";
import { fixture, goldenTokens, readTensors } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { RANDOM_MODELS, randomModel } from "./support/random-models.ts";
import { deviation } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

/**
 * Grouped heads, biases, tied weights; LayerNorm and learned positions; sliding windows; q and k norms; norms afterwards and
 * capped scores; latent attention and experts.
 */
const FAMILIES = ["llama-bias-headdim-tied", "gpt2", "mistral-window", "qwen3-bias-tied", "gemma2", "deepseek-v3"];

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const bits = ({ data }: Tensor): Int32Array => new Int32Array(data.slice().buffer);

describe.each(FAMILIES)("edits of %s", (name) => {
  let model: Model;
  let tokens: number[];
  let plain: Run;
  let writable: string[];

  beforeAll(async () => {
    model = await open(fixture(`goldens/${name}`));
    tokens = await goldenTokens(name);
    plain = await model.run(tokens, { read: ["**"] });
    writable = model
      .points()
      .flatMap((point) => (point.writable && !/^blocks\.[2-9]/.test(point.name) ? [point.name] : []));
  });
  afterAll(() => model.close());

  it("that change nothing change no bit of the same program, at any point", async () => {
    const both = [tokens, tokens];
    // What holds in one block holds in the others, which are built alike.
    for (const at of writable.filter((name) => !name.startsWith("blocks.0."))) {
      const idle: EditObject[] = [
        { at, scale: 1 },
        { at, add: 0 },
        { at, clamp: [-Infinity, Infinity] },
        { at, patch: plain },
        { at, call: () => {} },
      ];
      // The same slots, in which the second sequence is edited as well or not at all.
      const changed = await model.run(both, { read: [at], edits: [idle.slice(0, 3), idle.slice(0, 3)] });
      const left = await model.run(both, { read: [at], edits: [idle.slice(0, 3), []] });
      expect(bits(changed.logits), at).toEqual(bits(left.logits));
      const [edited, untouched] = [changed, left].map((run) => run.get(at, { sequence: 1 }));
      expect(bits(edited), at).toEqual(bits(untouched));
      for (const edit of idle) {
        const run = await model.run(tokens, { edits: [edit] });
        expect(deviation(run.logits, plain.logits), `${at} ${Object.keys(edit)[1]}`).toBeLessThanOrEqual(
          TOLERANCE.rows,
        );
      }
    }
  });

  it("give on every backend what they give on the reference", async () => {
    const reference = await open(fixture(`goldens/${name}`), { backend: "reference" });
    for (const at of writable.filter((point) => !point.startsWith("blocks.0."))) {
      const edits: EditObject[] = [
        { at, positions: [2, 6], scale: 0.7 },
        { at, positions: 7, add: 0.1 },
      ];
      const [found, expected] = [await model.run(tokens, { edits }), await reference.run(tokens, { edits })];
      expect(deviation(found.logits, expected.logits), at).toBeLessThanOrEqual(TOLERANCE.official);
    }
    await reference.close();
  });

  it("put in at every point at once what another text gave there, give that text's logits to the last bit", async () => {
    const other = tokens.map((token) => (token * 7 + 3) % model.config.vocabSize);
    const edits = writable.map((at): EditObject => ({ at, patch: plain }));
    const whole = await model.run(tokens, { edits });
    const patched = await model.run(other, { edits });
    expect(bits(patched.logits)).toEqual(bits(whole.logits));
    expect(bits(patched.logits)).toEqual(bits(plain.logits));
  });

  it("reach what comes after them, and nothing before", async () => {
    const at = "blocks.1.attn.z";
    const run = await model.run(tokens, { read: ["**"], edits: [{ at: "L1.H1", positions: 3, set: 0 }] });
    const order = model.points().map((point) => point.name);
    for (const point of order.slice(0, order.indexOf(at))) {
      expect(deviation(run.get(point), plain.get(point)), point).toBeLessThanOrEqual(TOLERANCE.rows);
    }
    const z = run.get(at);
    for (const [t, h] of range(tokens.length).flatMap((t) => range(model.config.nHeads).map((h) => [t, h]))) {
      const expected =
        t === 3 && h === 1
          ? plain
              .get(at)
              .row(t, h)
              .data.map(() => 0)
          : plain.get(at).row(t, h).data;
      expect(deviation(z.row(t, h), new Tensor([expected.length], expected))).toBeLessThanOrEqual(TOLERANCE.rows);
    }
    const before = run.get("blocks.1.residMid").row(2);
    expect(deviation(before, plain.get("blocks.1.residMid").row(2))).toBeLessThanOrEqual(TOLERANCE.rows);
    expect(deviation(run.get("blocks.1.residMid").row(3), plain.get("blocks.1.residMid").row(3))).toBeGreaterThan(1e-4);
  });

  it("can be read before and after", async () => {
    const at = "blocks.0.mlp.out";
    const run = await model.run(tokens, { read: [at, { at, before: true }], edits: [`${at} *= 3`] });
    expect(deviation(run.get(at, { before: true }), plain.get(at))).toBeLessThanOrEqual(TOLERANCE.rows);
    const tripled = new Tensor(
      run.get(at).shape,
      run.get(at, { before: true }).data.map((x) => Math.fround(3 * x)),
    );
    expect(bits(run.get(at))).toEqual(bits(tripled));
  });

  it("say what loops say, action by action", async () => {
    const { dModel } = model.config;
    const at = "blocks.0.attn.contribution";
    const vector = range(dModel).map((i) => Math.sin(i) / 2);
    const before = plain.get(at);
    const rows = (change: (x: number, i: number, row: ArrayLike<number>) => number): number[] =>
      range(tokens.length).flatMap((t) => {
        const row = before.row(t).data;
        return Array.from(row, (x, i) => (t >= 2 && t < 5 ? change(x, i, row) : x));
      });
    const along = (row: ArrayLike<number>): number =>
      range(dModel).reduce((sum, i) => sum + row[i] * vector[i], 0) / vector.reduce((sum, v) => sum + v * v, 0);
    const expected: [Partial<EditObject>, number[]][] = [
      [{ set: 0.5 }, rows(() => 0.5)],
      [{ set: vector }, rows((_, i) => vector[i])],
      [{ add: vector, times: 4 }, rows((x, i) => x + 4 * vector[i])],
      [{ scale: -2 }, rows((x) => -2 * x)],
      [{ scale: vector }, rows((x, i) => x * vector[i])],
      [{ clamp: [-0.01, 0.02] }, rows((x) => Math.min(0.02, Math.max(-0.01, x)))],
      [{ projectOut: vector }, rows((x, i, row) => x - along(row) * vector[i])],
      [
        { mean: plain },
        rows((_, i) => range(tokens.length).reduce((sum, t) => sum + before.at(t, i), 0) / tokens.length),
      ],
    ];
    for (const [action, data] of expected) {
      const run = await model.run(tokens, { read: [at], edits: [{ at, positions: [2, 5], ...action }] });
      const wanted = new Tensor(before.shape, Float64Array.from(data));
      expect(deviation(run.get(at), wanted), JSON.stringify(Object.keys(action))).toBeLessThanOrEqual(1e-5);
      expect(run.edited.map(({ nRows }) => nRows)).toEqual([3]);
    }
    const z = await model.run(tokens, { read: ["blocks.0.attn.z"], edits: ["blocks.0.attn.z[1,2] = 7"] });
    expect(z.get("blocks.0.attn.z").at(4, 1, 2)).toBe(7);
    expect(z.get("blocks.0.attn.z").at(4, -1, -1)).toBeCloseTo(plain.get("blocks.0.attn.z").at(4, -1, -1), 4);
  });

  it("of attention name a head and a key", async () => {
    const at = "blocks.0.attn.pattern";
    const run = await model.run(tokens, { read: [at], edits: ["L0.H1.pattern[2]@4 = 0.25", "L0.H0.pattern@5 *= 0"] });
    const [before, after] = [plain.get(at), run.get(at)];
    for (const [h, t, s] of range(before.shape[0]).flatMap((h) =>
      range(tokens.length).flatMap((t) => range(tokens.length).map((s) => [h, t, s])),
    )) {
      const expected = h === 1 && t === 4 && s === 2 ? 0.25 : h === 0 && t === 5 ? 0 : before.at(h, t, s);
      expect(after.at(h, t, s), `${h} ${t} ${s}`).toBeCloseTo(expected, 5);
    }
    const scores = await model.run(tokens, { read: [at], edits: ["L0.H1.scores[4]@5 = -1e9"] });
    expect(scores.get(at).at(1, 5, 4)).toBe(0);
    const sum = range(6).reduce((total, s) => total + scores.get(at).at(1, 5, s), 0);
    expect(sum).toBeCloseTo(1, 5);
    const other = await model.run(tokens.toReversed(), { read: [at], edits: [{ at: "L0.H1.pattern", patch: plain }] });
    for (const t of range(tokens.length)) {
      const [found, wanted] = [other.get(at).row(1, t), before.row(1, t)];
      expect(deviation(found, wanted)).toBeLessThanOrEqual(TOLERANCE.rows);
    }
  });

  it("are the same bits as text, as an object and as JSON, and for every name of a point", async () => {
    const forms: EditSpec[][] = [
      ["L0.N3@2:5 = 0.5", { at: "L0.N3", positions: [2, 5], set: 0.5 }, '{"at":"L0.N3@2:5","set":0.5}'],
      ["L1.H1 *= -0.5", { at: "blocks.1.attn.z[1]", scale: -0.5 }, '{"at":"blocks.1.attn.hook_z[1]","scale":-0.5}'],
      ["L0.residPost += 2", { at: "L0", add: 1, times: 2 }, '{"at":"resid_post.0","add":2}'],
      ["L1.mlp = clamp(-0.1, 0.1)", { at: "L1.mlp", clamp: [-0.1, 0.1] }, '{"at":"L1.mlp","clamp":[-0.1,0.1]}'],
    ];
    for (const [first, ...others] of forms) {
      const expected = bits((await model.run(tokens, { edits: [first] })).logits);
      expect(expected).not.toEqual(bits(plain.logits));
      for (const edit of others) expect(bits((await model.run(tokens, { edits: [edit] })).logits)).toEqual(expected);
    }
  });

  it("of sequences that share a step are each their own", async () => {
    const lists: EditSpec[][] = [["L0.N3 = 1", "L1.H0@3 = 0"], [], ["L1.H1 = 0", "L0.N5 = 1"], ["L0.mlp *= 0"]];
    const together = await model.run(
      lists.map(() => tokens),
      { read: ["logits"], edits: lists },
    );
    for (const [i, edits] of lists.entries()) {
      const alone = await model.run(tokens, { edits });
      expect(deviation(together.get("logits", { sequence: i }), alone.logits)).toBeLessThanOrEqual(TOLERANCE.rows);
    }
  });

  it("of a sweep give what a run of its own gives for each", async () => {
    const lists: EditSpec[][] = range(tokens.length).map((p) => [`L${p % 2}.H1@${p} = 0`]);
    let i = 0;
    for await (const run of model.sweep(tokens, lists, { logits: "last" })) {
      const alone = await model.run(tokens, { logits: "last", edits: lists[i++] });
      expect(deviation(run.logits, alone.logits)).toBeLessThanOrEqual(TOLERANCE.rows);
    }
    expect(i).toBe(lists.length);
  });

  it("of a sweep over rows that the last one does not see leave it as it is", async () => {
    const last = model.config.nLayers - 1;
    for await (const run of model.sweep(tokens, [[`L${last}.H1@2 = 0`], [`L${last}.H0@1 = 0`]], { logits: "last" })) {
      const row = new Tensor(run.logits.shape, plain.logits.row(tokens.length - 1).data);
      expect(deviation(run.logits, row)).toBeLessThanOrEqual(TOLERANCE.rows);
    }
  });
});

describe("an edit that has the effect of other weights", () => {
  const name = "llama-bias-headdim-tied";
  const N_HEADS = 6;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "golgi-edits-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** The model with some tensors changed by hand. */
  async function changed(
    names: readonly string[],
    change: (data: Float32Array, shape: readonly number[]) => void,
  ): Promise<Model> {
    await cp(fixture(`goldens/${name}`), folder, { recursive: true });
    const tensors = await readTensors(join(folder, "model.safetensors"));
    for (const name of names) {
      const { data, shape } = tensors.get(name) as Tensor<Float32Array>;
      change(data, shape);
    }
    const named = Array.from(tensors, ([name, { shape, data }]) => ({ name, shape, data: data as Float32Array }));
    await writeFile(join(folder, "model.safetensors"), encodeSafetensors(named));
    return open(folder);
  }

  it.each([
    [
      "a neuron at 0, as if it wrote nothing",
      "L1.N5 = 0",
      ["model.layers.1.mlp.down_proj.weight"],
      (data: Float32Array, [nOut, nIn]: readonly number[]) => {
        for (let o = 0; o < nOut; o++) data[o * nIn + 5] = 0;
      },
    ],
    [
      "an MLP scaled, as if its output weights and bias were",
      "L0.mlp *= 0.5",
      ["model.layers.0.mlp.down_proj.weight", "model.layers.0.mlp.down_proj.bias"],
      (data: Float32Array) => {
        for (let i = 0; i < data.length; i++) data[i] *= 0.5;
      },
    ],
    [
      "a head at 0, as if its columns of the output projection were",
      "L1.H2 = 0",
      ["model.layers.1.self_attn.o_proj.weight"],
      (data: Float32Array, [nOut, nIn]: readonly number[]) => {
        const headDim = nIn / N_HEADS;
        for (let o = 0; o < nOut; o++) data.fill(0, o * nIn + 2 * headDim, o * nIn + 3 * headDim);
      },
    ],
  ])("%s", async (_, edit, names, change) => {
    const [edited, other] = [await open(fixture(`goldens/${name}`)), await changed(names, change)];
    const tokens = await goldenTokens(name);
    const options = { read: ["**.residPost", "**.attn.out"] };
    const [a, b] = [await edited.run(tokens, { ...options, edits: [edit] }), await other.run(tokens, options)];
    const unedited = await edited.run(tokens, options);
    for (const point of a.points) expect(deviation(a.get(point), b.get(point)), point).toBeLessThanOrEqual(1e-5);
    expect(deviation(a.logits, b.logits)).toBeLessThanOrEqual(1e-5);
    expect(deviation(a.logits, unedited.logits)).toBeGreaterThan(1e-4);
    await edited.close();
    await other.close();
  });
});

describe("an edit of what exists only while it is read", () => {
  it("takes a head's whole result, and no element of it even where the head has as many", async () => {
    const heads = { num_attention_heads: 1, num_key_value_heads: 1 };
    const folder = new MemoryFolder(randomModel({ ...RANDOM_MODELS.llama, ...heads }));
    const host = { nowMs: () => 0, pause: () => Promise.resolve() };
    const model = await openModel({ folder }, host, [reference]);
    const [result, tokens] = ["blocks.0.attn.result", [5, 17, 42]];
    const run = await model.run(tokens, { read: [result], edits: [`${result}[0] = 0`] });
    expect(run.get(result).shape).toEqual([3, 1, 64]);
    expect(run.get(result).data.every((value) => value === 0)).toBe(true);
    await expect(model.run(tokens, { edits: [`${result}[0,3] = 0`] })).rejects.toThrow(`${result} exists only while`);
    await model.close();
  });
});
