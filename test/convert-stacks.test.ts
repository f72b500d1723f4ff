/** Tensors of the target that take rows of several weights, or of which several make up one weight. */

import { describe, expect, it } from "vitest";
import { targetTensors, tensorBytes } from "../src/convert/target-tensor.ts";
import { chooseTypes } from "../src/convert/types.ts";
import { ConfigError } from "../src/errors.ts";
import type { PlainFormat } from "../src/tensor/format.ts";
import { bindWeights } from "../src/weights/bind.ts";
import { decodeWeight } from "../src/weights/decode.ts";
import {
  type Layout,
  matrices,
  mxfp4Matrices,
  numbered,
  ofHeads,
  stackedIn,
  stored,
  WeightSpec,
  whole,
} from "../src/weights/schema.ts";
import { concat } from "./checkpoint-files.ts";
import { randomFrom } from "./op-support/random.ts";
import { bytes, filled, float32, type MemoryTensor, memoryCheckpoint } from "./support/memory-checkpoint.ts";

type Tensors = Readonly<Record<string, MemoryTensor>>;
type Specs = Readonly<Record<string, WeightSpec>>;

const NOTHING = { prefix: "", ignored: [] };
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** The tensors of the target, in the type that the source has or in `type`. */
async function converted(specs: Specs, tensors: Tensors, layoutOf: (spec: WeightSpec) => Layout, type?: PlainFormat) {
  const declared = new Map(Object.entries(specs));
  const { checkpoint } = memoryCheckpoint("safetensors", tensors);
  const { weights } = bindWeights(declared, checkpoint, NOTHING);
  const targets: Record<string, MemoryTensor> = {};
  for (const tensor of targetTensors(declared, weights, (_, spec) => layoutOf(spec))) {
    const dtype = type ?? tensor.stored ?? "f32";
    const pieces = await Array.fromAsync(tensorBytes(tensor, dtype, checkpoint));
    targets[tensor.name] = { shape: tensor.shape, dtype, bytes: concat(...pieces) };
  }
  return targets;
}

/** The specs with the layouts `to` gives as the only ones, and the numbers of what they are bound to. */
async function numbersOf(specs: Specs, tensors: Tensors, to: (spec: WeightSpec) => Layout) {
  const declared = new Map(Object.entries(specs).map(([name, spec]) => [name, new WeightSpec(spec.shape, [to(spec)])]));
  const { checkpoint } = memoryCheckpoint("safetensors", tensors);
  const { weights } = bindWeights(declared, checkpoint, NOTHING);
  const decoded = [...weights].map(async ([name, binding]) => [name, await decodeWeight(binding, checkpoint, "f32")]);
  return Object.fromEntries(await Promise.all(decoded));
}

const here = ({ huggingFace }: WeightSpec) => huggingFace[0]!;
const there = ({ gguf }: WeightSpec) => gguf[0]!;

/** Two ways to store the same weights, each with its tensors written out; `from` and `to` are turned into one another. */
interface Pair {
  readonly specs: Specs;
  readonly from: Tensors;
  readonly to: Tensors;
}

const [E, OUT, IN] = [3, 4, 6];
const at = (e: number, row: number, column: number) => 100 * e + 10 * row + column;
const gate = at;
const up = (e: number, row: number, column: number) => 1000 + at(e, row, column);
const byTurns = (e: number, row: number, column: number) => (row % 2 === 0 ? gate : up)(e, row >> 1, column);
const half = (first: 0 | 1) => ({ rows: [first, 2 * OUT] as const, step: 2 });
const named = (name: string, at: typeof gate) =>
  Object.fromEntries(
    range(0, E).map((e) => [`l.experts.${e}.${name}.weight`, filled([OUT, IN], (r, c) => at(e, r, c))]),
  );

const experts = stackedIn("l", "blk.0", { experts: "experts" });
const [nHeads, nope, v] = [3, 2, 4];
const inHead = (row: number, column: number) => at(Math.floor(row / (nope + v)), row % (nope + v), column);

const pairs: Record<string, Pair> = {
  "experts in tensors of their own and packed": {
    specs: { gate: experts("gate", "g", [E, OUT, IN]), up: experts("up", "u", [E, OUT, IN]) },
    from: { ...named("g", gate), ...named("u", up) },
    to: {
      "blk.0.ffn_gate_exps.weight": filled([E, OUT, IN], gate),
      "blk.0.ffn_up_exps.weight": filled([E, OUT, IN], up),
    },
  },
  "gate and up in one tensor and apart": {
    specs: Object.fromEntries(
      [0, 1].map((i) => {
        const rows = [i * OUT, (i + 1) * OUT] as const;
        return [`w${i}`, new WeightSpec([E, OUT, IN], [matrices("gate_up", E, { rows })], [whole(`w${i}`)])];
      }),
    ),
    from: { gate_up: filled([E, 2 * OUT, IN], (e, r, c) => (r < OUT ? gate(e, r, c) : up(e, r - OUT, c))) },
    to: { w0: filled([E, OUT, IN], gate), w1: filled([E, OUT, IN], up) },
  },
  "rows by turns and apart": {
    specs: {
      gate: new WeightSpec([E, OUT, IN], [matrices("gate_up", E, half(0))], [whole("gate")]),
      up: new WeightSpec([E, OUT, IN], [matrices("gate_up", E, half(1))], [whole("up")]),
    },
    from: { gate_up: filled([E, 2 * OUT, IN], byTurns) },
    to: { gate: filled([E, OUT, IN], gate), up: filled([E, OUT, IN], up) },
  },
  "columns by turns of transposed matrices and rows apart": {
    specs: {
      gate: new WeightSpec([E, OUT, IN], [matrices("gate_up", E, { ...half(0), transposed: true })], [whole("gate")]),
      up: new WeightSpec([E, OUT, IN], [matrices("gate_up", E, { ...half(1), transposed: true })], [whole("up")]),
      down: new WeightSpec([E, OUT, IN], [whole("down", { transposed: true })], [whole("down")]),
    },
    from: {
      gate_up: filled([E, IN, 2 * OUT], (e, c, r) => byTurns(e, r, c)),
      down: filled([E, IN, OUT], (e, c, r) => gate(e, r, c)),
    },
    to: {
      gate: filled([E, OUT, IN], gate),
      up: filled([E, OUT, IN], up),
      down: filled([E, OUT, IN], gate),
    },
  },
  "elements of biases by turns and apart": {
    specs: {
      gate: new WeightSpec([E, OUT], [matrices("b", E, half(0))], [whole("gate")]),
      up: new WeightSpec([E, OUT], [matrices("b", E, half(1))], [numbered("up.{e}", E)]),
    },
    from: { b: filled([E, 2 * OUT], (e, i) => byTurns(e, i, 0)) },
    to: {
      gate: filled([E, OUT], (e, i) => gate(e, i, 0)),
      ...Object.fromEntries(range(0, E).map((e) => [`up.${e}`, filled([OUT], (i) => up(e, i, 0))])),
    },
  },
  "keys and values head by head, and keys transposed apart": {
    specs: {
      wK: new WeightSpec(
        [nHeads * nope, IN],
        [ofHeads("kv_b", nHeads, nope + v, [0, nope])],
        [matrices("k_b", nHeads, { transposed: true })],
      ),
      wV: new WeightSpec(
        [nHeads * v, IN],
        [ofHeads("kv_b", nHeads, nope + v, [nope, nope + v])],
        [matrices("v_b", nHeads)],
      ),
    },
    from: { kv_b: filled([nHeads * (nope + v), IN], inHead) },
    to: {
      k_b: filled([nHeads, IN, nope], (head, c, r) => at(head, r, c)),
      v_b: filled([nHeads, v, IN], (head, r, c) => at(head, nope + r, c)),
    },
  },
  "rows of one tensor that is not divided in the target": {
    specs: {
      latent: new WeightSpec([4, IN], [whole("kv_a", { rows: [0, 4] })], [whole("latent")]),
      rope: new WeightSpec([2, IN], [whole("kv_a", { rows: [4, 6] })], [whole("rope")]),
    },
    from: { kv_a: filled([6, IN], (r, c) => at(0, r, c)) },
    to: { latent: filled([4, IN], (r, c) => at(0, r, c)), rope: filled([2, IN], (r, c) => at(0, r + 4, c)) },
  },
};

describe.each(Object.entries(pairs))("%s", (_, { specs, from, to }) => {
  const written = (tensors: Tensors) =>
    Object.fromEntries(Object.entries(tensors).map(([name, { shape, bytes }]) => [name, { shape, bytes: [...bytes] }]));
  const turned = Object.fromEntries(
    Object.entries(specs).map(([name, { shape, huggingFace, gguf }]) => [
      name,
      new WeightSpec(shape, gguf, huggingFace),
    ]),
  );

  it("are turned into one another, bit by bit", async () => {
    expect(written(await converted(specs, from, there))).toEqual(written(to));
    expect(written(await converted(turned, to, there))).toEqual(written(from));
    expect(written(await converted(specs, from, here))).toEqual(written(from));
    expect(written(await converted(turned, to, here))).toEqual(written(to));
  });

  it("are turned into one another in another type", async () => {
    const halves = await converted(specs, from, there, "f16");
    expect(await numbersOf(specs, halves, there)).toEqual(await numbersOf(specs, from, here));
    expect(written(await converted(turned, halves, there, "f32"))).toEqual(written(from));
  });
});

describe("an offset", () => {
  const specs = { gain: stored("g", [4], { offset: 1, gguf: "g" }) };
  const numbers = [0.5, -1, 0.25, 3];

  it("is added where the target has none, and taken off where it has one", async () => {
    const to = await converted(specs, { g: float32([4], numbers) }, there);
    expect(to.g).toEqual({ ...float32([4], [1.5, 0, 1.25, 4]), dtype: "f32" });
    const back = { gain: new WeightSpec([4], specs.gain.gguf, specs.gain.huggingFace) };
    expect((await converted(back, to, there)).g).toEqual({ ...float32([4], numbers), dtype: "f32" });
  });

  it("keeps the bits of numbers that have it on both sides", async () => {
    const tensors = { g: bytes([4], "bf16", [1, 0, 0x80, 0x7f, 0xc1, 0x7f, 0, 0x80]) };
    expect((await converted(specs, tensors, here)).g).toEqual(tensors.g);
  });
});

describe("quantised blocks", () => {
  const random = randomFrom(5);
  const blocks = (n: number) => Array.from({ length: n }, () => Math.floor(256 * random()));

  it("of experts are copied where rows stay whole", async () => {
    const each = range(0, E).map(() => blocks(OUT * 34));
    const tensors = Object.fromEntries(each.map((own, e) => [`w.${e}`, bytes([OUT, 32], "q8_0", own)]));
    const specs = { w: new WeightSpec([E, OUT, 32], [numbered("w.{e}", E)], [whole("w")]) };
    const { w } = await converted(specs, tensors, there);
    expect(w).toEqual(bytes([E, OUT, 32], "q8_0", each.flat()));
  });

  it("of transposed matrices are numbers in the target", async () => {
    const tensors = { w: bytes([2, OUT, 32], "q8_0", new Array(2 * OUT * 34).fill(0)) };
    const specs = { w: new WeightSpec([64, OUT], [matrices("w", 2, { transposed: true })], [whole("w")]) };
    expect(await converted(specs, tensors, there)).toMatchObject({ w: { shape: [64, OUT], dtype: "f32" } });
  });

  it("of MXFP4 get their scales back in GGUF, and are numbers in a folder", async () => {
    const [rows, nIn] = [E * 2 * OUT, 64];
    const tensors = {
      gate_up_blocks: bytes([E, 2 * OUT, 2, 16], "u8", blocks((rows * nIn) / 2)),
      gate_up_scales: bytes(
        [E, 2 * OUT, 2],
        "u8",
        blocks(rows * 2).map((x) => 100 + (x % 50)),
      ),
    };
    const layouts = (first: 0 | 1) => [
      matrices("gate_up", E, { ...half(first), transposed: true }),
      mxfp4Matrices("gate_up", E, half(first)),
    ];
    const specs = {
      gate: new WeightSpec([E, OUT, nIn], layouts(0), [whole("gate")]),
      up: new WeightSpec([E, OUT, nIn], layouts(1), [whole("up")]),
    };
    const expected = await numbersOf(specs, tensors, ({ huggingFace }) => huggingFace[1]!);
    const gguf = await converted(specs, tensors, there);
    expect(Object.values(gguf).map(({ dtype }) => dtype)).toEqual(["mxfp4", "mxfp4"]);
    expect(await numbersOf(specs, gguf, there)).toEqual(expected);
    const declared = new Map(Object.entries(specs));
    const { weights } = bindWeights(declared, memoryCheckpoint("safetensors", tensors).checkpoint, NOTHING);
    const parts = targetTensors(declared, weights, (_, spec) => here(spec));
    expect(chooseTypes(parts, "safetensors", undefined).tensors.map(({ type }) => type)).toEqual(["f32"]);
    expect(await numbersOf(specs, await converted(specs, tensors, here), here)).toEqual(expected);
  });
});

it("a tensor of which no weight has some rows is refused", async () => {
  const specs = { w: new WeightSpec([2, IN], [whole("w")], [whole("w", { rows: [2, 4] })]) };
  const conversion = converted(specs, { w: filled([2, IN], () => 0) }, there);
  await expect(conversion).rejects.toThrow(ConfigError);
  await expect(conversion).rejects.toThrow(/^convert: w: the weights must have all 4 rows of \[4, 6\]; got 2\.$/);
});
