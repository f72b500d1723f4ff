/** Weights that lie in several places: the experts of a layer, rows by turns, heads of a fused projection. */

import { describe, expect, it } from "vitest";
import { CheckpointError, TapeError } from "../src/errors.ts";
import { type Binding, bindWeights } from "../src/weights/bind.ts";
import { decodeSlice, decodeWeight } from "../src/weights/decode.ts";
import { matrices, numbered, ofHeads, stackedIn, stored, WeightSpec, whole } from "../src/weights/schema.ts";
import { rowSegments } from "../src/weights/segments.ts";
import { bytes, filled, float32, type MemoryTensor, memoryCheckpoint } from "./support/memory-checkpoint.ts";

type Files = readonly Readonly<Record<string, MemoryTensor>>[];

const [E, OUT, IN] = [3, 4, 5];
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const numbersOf = (kind: "gate" | "up" | "down") => (e: number, row: number, column: number) =>
  ["gate", "up", "down"].indexOf(kind) * 1000 + e * 100 + row * 10 + column;
const gate = numbersOf("gate");
const up = numbersOf("up");

const expectedOf = (at: typeof gate) =>
  range(0, E).flatMap((e) => range(0, OUT).flatMap((row) => range(0, IN).map((column) => at(e, row, column))));

const experts = stackedIn("model.layers.0", "blk.0", { experts: "moe.experts", packed: "mlp.experts" });
const specs = new Map([
  ["gate", experts("gate", "w1", [E, OUT, IN])],
  ["up", experts("up", "w3", [E, OUT, IN])],
]);

const bind = (declared: ReadonlyMap<string, WeightSpec>, format: "safetensors" | "gguf", files: Files) => {
  const { checkpoint, sources } = memoryCheckpoint(format, ...files);
  const { weights } = bindWeights(declared, checkpoint, { prefix: "model.", ignored: [] });
  return { weights, checkpoint, sources };
};

const expert = (at: typeof gate, e: number) => filled([OUT, IN], (row, column) => at(e, row, column));
const gateUp = filled([E, 2 * OUT, IN], (e, row, column) =>
  row < OUT ? gate(e, row, column) : up(e, row - OUT, column),
);

describe("the experts of a layer", () => {
  const each = (prefix: string, middle: (name: string) => (e: number) => string) =>
    Object.fromEntries(
      range(0, E).flatMap((e) => [
        [`${prefix}${middle("gate")(e)}`, expert(gate, e)],
        [`${prefix}${middle("up")(e)}`, expert(up, e)],
      ]),
    );
  const hubName = (name: string) => (e: number) => `moe.experts.${e}.${name === "gate" ? "w1" : "w3"}.weight`;
  const perExpert = each("model.layers.0.", hubName);

  it.each<[string, "safetensors" | "gguf", Files, number]>([
    ["each in its tensor", "safetensors", [perExpert], E],
    ["each in its tensor, without the prefix", "safetensors", [each("layers.0.", hubName)], E],
    ["packed, gate above up", "safetensors", [{ "model.layers.0.mlp.experts.gate_up_proj": gateUp }], E],
    [
      "packed in a tensor each",
      "gguf",
      [
        {
          "blk.0.ffn_gate_exps.weight": filled([E, OUT, IN], gate),
          "blk.0.ffn_up_exps.weight": filled([E, OUT, IN], up),
        },
      ],
      1,
    ],
    ["packed, gate above up", "gguf", [{ "blk.0.ffn_gate_up_exps.weight": gateUp }], E],
    ["each in its tensor", "gguf", [each("blk.0.", (name) => (e) => `ffn_${name}.${e}.weight`)], E],
  ])("are found %s (%s)", async (_, format, files, nSegments) => {
    const { weights, checkpoint } = bind(specs, format, files);
    for (const [name, at] of [
      ["gate", gate],
      ["up", up],
    ] as const) {
      const binding = weights.get(name)!;
      expect([...(await decodeWeight(binding, checkpoint, "f64"))]).toEqual(expectedOf(at));
      const segments = rowSegments(binding);
      expect(segments.map(({ firstRow, nRows }) => [firstRow, nRows])).toEqual(
        range(0, nSegments).map((i) => [(i * E * OUT) / nSegments, (E * OUT) / nSegments]),
      );
    }
  });

  it("are found in two files, and segments name the file of each", async () => {
    const files = [0, 1].map((part) =>
      Object.fromEntries(Object.entries(perExpert).filter(([name]) => name.includes(".experts.1.") === (part === 1))),
    );
    const { weights, checkpoint, sources } = bind(specs, "safetensors", files);
    const binding = weights.get("up")!;
    expect(rowSegments(binding).map(({ tensor }) => tensor.file)).toEqual(["file-0", "file-1", "file-0"]);
    expect([...(await decodeWeight(binding, checkpoint, "f32"))]).toEqual(expectedOf(up));
    const before = sources.map(({ nBytesRead }) => nBytesRead);
    const slice = await decodeSlice(binding, checkpoint, { rows: [OUT + 1, OUT + 3], columns: [2, 4] });
    expect([...slice]).toEqual([up(1, 1, 2), up(1, 1, 3), up(1, 2, 2), up(1, 2, 3)]);
    expect(sources.map(({ nBytesRead }, i) => nBytesRead - before[i]!)).toEqual([0, 2 * IN * 4]);
  });

  it("may be slices across several of them", async () => {
    const { weights, checkpoint } = bind(specs, "safetensors", [perExpert]);
    const slice = await decodeSlice(weights.get("gate")!, checkpoint, { rows: [3, 9], columns: [1, 3] });
    const rows = [[0, 3], ...range(0, 4).map((row) => [1, row]), [2, 0]] as [number, number][];
    expect([...slice]).toEqual(rows.flatMap(([e, row]) => [gate(e, row, 1), gate(e, row, 2)]));
  });

  const without = (name: string) =>
    Object.fromEntries(Object.entries(perExpert).filter(([other]) => !other.endsWith(name)));

  it.each<[string, Record<string, MemoryTensor>, RegExp]>([
    [
      "one of them missing",
      without("experts.1.w3.weight"),
      /model\.layers\.0\.moe\.experts\.1\.w3\.weight: the checkpoint must hold this tensor, it is up \[3, 4, 5\]/,
    ],
    [
      "one of another shape",
      { ...perExpert, "model.layers.0.moe.experts.2.w1.weight": filled([OUT, IN + 1], () => 0) },
      /experts\.2\.w1\.weight: gate \[3, 4, 5\] needs \[4, 5\]; got \[4, 6\]/,
    ],
    [
      "one of another type",
      { ...perExpert, "model.layers.0.moe.experts.2.w1.weight": bytes([OUT, IN], "bf16", new Array(40).fill(0)) },
      /all tensors that make up gate must be of one type, which is f32 in model\.layers\.0\.moe\.experts\.0\.w1\.weight; got bf16\. .*Convert the checkpoint anew/,
    ],
    [
      "one more than the config says",
      { ...perExpert, "model.layers.0.moe.experts.3.w1.weight": expert(gate, 0) },
      /experts\.3\.w1\.weight: every tensor of the checkpoint must be used/,
    ],
    [
      "more in a packed tensor than the config says",
      { "model.layers.0.mlp.experts.gate_up_proj": filled([E + 1, 2 * OUT, IN], () => 0) },
      /every row of a tensor must belong to a weight; got \[4, 8, 5\], of which 8 are left over/,
    ],
    [
      "fewer in a packed tensor than the config says",
      { "model.layers.0.mlp.experts.gate_up_proj": filled([E - 1, 2 * OUT, IN], () => 0) },
      /gate \[3, 4, 5\] needs \[4, 5\] as matrix 2, of which rows 0 to 4; got \[2, 8, 5\]/,
    ],
  ])("are refused with %s", (_, tensors, message) => {
    expect(() => bind(specs, "safetensors", [tensors])).toThrow(CheckpointError);
    expect(() => bind(specs, "safetensors", [tensors])).toThrow(message);
  });
});

describe("rows by turns", () => {
  const half = (first: 0 | 1) => ({ rows: [first, 2 * OUT] as const, step: 2 });
  const interleaved = (e: number, row: number, column: number) =>
    (row % 2 === 0 ? gate : up)(e, Math.floor(row / 2), column);
  const both = (layout: (first: 0 | 1) => WeightSpec["huggingFace"][0], shape: readonly number[]) =>
    new Map([
      ["gate", new WeightSpec(shape, [layout(0)])],
      ["up", new WeightSpec(shape, [layout(1)])],
    ]);

  it("are one segment, every second row", async () => {
    const declared = both((first) => matrices("w", E, half(first)), [E, OUT, IN]);
    const { weights, checkpoint } = bind(declared, "safetensors", [{ w: filled([E, 2 * OUT, IN], interleaved) }]);
    expect([...(await decodeWeight(weights.get("up")!, checkpoint, "f32"))]).toEqual(expectedOf(up));
    expect(rowSegments(weights.get("up")!)).toMatchObject([
      { offset: 16 + 4 * IN, rowBytes: 8 * IN, firstRow: 0, nRows: E * OUT },
    ]);
    expect([...(await decodeSlice(weights.get("gate")!, checkpoint, { rows: [5, 7], columns: [4, 5] }))]).toEqual([
      gate(1, 1, 4),
      gate(1, 2, 4),
    ]);
  });

  it("are columns where matrices are stored transposed", async () => {
    const declared = both((first) => matrices("w", E, { ...half(first), transposed: true }), [E, OUT, IN]);
    const w = filled([E, IN, 2 * OUT], (e, column, row) => interleaved(e, row, column));
    const { weights, checkpoint, sources } = bind(declared, "safetensors", [{ w }]);
    for (const [name, at] of [
      ["gate", gate],
      ["up", up],
    ] as const) {
      expect([...(await decodeWeight(weights.get(name)!, checkpoint, "f32"))]).toEqual(expectedOf(at));
    }
    const before = sources[0]!.nBytesRead;
    const slice = await decodeSlice(weights.get("up")!, checkpoint, { rows: [OUT, 2 * OUT], columns: [3, 4] });
    expect([...slice]).toEqual(range(0, OUT).map((row) => up(1, row, 3)));
    expect(sources[0]!.nBytesRead - before).toBe(2 * OUT * 4);
  });

  it("are elements of biases", async () => {
    const bias = (e: number, i: number) => interleaved(e, i, 0);
    const declared = both((first) => matrices("b", E, half(first)), [E, OUT]);
    const { weights, checkpoint } = bind(declared, "safetensors", [{ b: filled([E, 2 * OUT], bias) }]);
    const own = weights.get("up")!;
    expect([...(await decodeWeight(own, checkpoint, "f32"))]).toEqual(
      range(0, E).flatMap((e) => range(0, OUT).map((row) => up(e, row, 0))),
    );
    const slices = [
      [{ rows: [1, 2], columns: [0, OUT] }, range(0, OUT).map((row) => up(1, row, 0))],
      [{ rows: [0, E], columns: [2, 3] }, range(0, E).map((e) => up(e, 2, 0))],
    ] as const;
    for (const [slice, expected] of slices) {
      expect([...(await decodeSlice(own, checkpoint, slice))]).toEqual(expected);
    }
  });

  it("must all belong to a weight", () => {
    const declared = new Map([["gate", new WeightSpec([E, OUT, IN], [matrices("w", E, half(0))])]]);
    const files = [{ w: filled([E, 2 * OUT, IN], interleaved) }];
    expect(() => bind(declared, "safetensors", files)).toThrow(
      /w: every row of a tensor must belong to a weight; got \[3, 8, 5\], of which 12 are/,
    );
    // As many rows as there are, but the same ones twice.
    const twice = new Map([...declared, ["again", new WeightSpec([E, OUT, IN], [matrices("w", E, half(0))])]] as const);
    expect(() => bind(twice, "safetensors", files)).toThrow(/of which 12 are left over/);
  });
});

describe("biases of experts", () => {
  const bias = (e: number, i: number) => 10 * e + i;
  const expected = range(0, E).flatMap((e) => range(0, OUT).map((i) => bias(e, i)));

  it.each<[string, WeightSpec["huggingFace"][0], Record<string, MemoryTensor>]>([
    ["in one tensor", whole("b"), { b: filled([E, OUT], bias) }],
    [
      "each in its own",
      numbered("b.{e}", E),
      Object.fromEntries(range(0, E).map((e) => [`b.${e}`, filled([OUT], (i) => bias(e, i))])),
    ],
  ])("are rows one behind another, %s", async (_, layout, tensors) => {
    const { weights, checkpoint } = bind(new Map([["b", new WeightSpec([E, OUT], [layout])]]), "safetensors", [
      tensors,
    ]);
    expect([...(await decodeWeight(weights.get("b")!, checkpoint, "f32"))]).toEqual(expected);
  });
});

describe("a projection of many heads", () => {
  const [nHeads, nope, v, rank] = [3, 2, 4, 5];
  const number = (head: number, row: number, column: number) => 100 * head + 10 * row + column;
  const [keys, values] = [[0, nope] as const, [nope, nope + v] as const];
  const declared = new Map([
    [
      "wK",
      new WeightSpec(
        [nHeads * nope, rank],
        [ofHeads("kv_b", nHeads, nope + v, keys)],
        [matrices("k_b", nHeads, { transposed: true }), ofHeads("kv_b", nHeads, nope + v, keys)],
      ),
    ],
    [
      "wV",
      new WeightSpec(
        [nHeads * v, rank],
        [ofHeads("kv_b", nHeads, nope + v, values)],
        [matrices("v_b", nHeads), ofHeads("kv_b", nHeads, nope + v, values)],
      ),
    ],
  ]);
  const fused = filled([nHeads * (nope + v), rank], (row, column) =>
    number(Math.floor(row / (nope + v)), row % (nope + v), column),
  );

  it.each<[string, "safetensors" | "gguf", Record<string, MemoryTensor>]>([
    ["keys above values, head by head", "safetensors", { kv_b: fused }],
    ["keys above values, head by head", "gguf", { kv_b: fused }],
    [
      "keys transposed and values by themselves",
      "gguf",
      {
        k_b: filled([nHeads, rank, nope], (head, column, row) => number(head, row, column)),
        v_b: filled([nHeads, v, rank], (head, row, column) => number(head, nope + row, column)),
      },
    ],
  ])("may hold %s (%s)", async (_, format, tensors) => {
    const { weights, checkpoint } = bind(declared, format, [tensors]);
    const rows = (from: number, to: number) =>
      range(0, nHeads).flatMap((head) =>
        range(from, to).flatMap((row) => range(0, rank).map((column) => number(head, row, column))),
      );
    expect([...(await decodeWeight(weights.get("wK")!, checkpoint, "f32"))]).toEqual(rows(...keys));
    expect([...(await decodeWeight(weights.get("wV")!, checkpoint, "f32"))]).toEqual(rows(...values));
  });
});

describe("a gain that is stored less 1", () => {
  it("has it added, in float32", async () => {
    const declared = new Map([["gain", stored("g", [3], { offset: 1, gguf: "g" })]]);
    const numbers = [0.5, -1, 1e-8];
    for (const [format, added] of [
      ["safetensors", 1],
      ["gguf", 0],
    ] as const) {
      const { weights, checkpoint } = bind(declared, format, [{ g: float32([3], numbers) }]);
      const expected = numbers.map((x) => Math.fround(Math.fround(x) + added));
      const binding = weights.get("gain") as Binding;
      expect([...(await decodeWeight(binding, checkpoint, "f64"))]).toEqual(expected);
      expect([...(await decodeSlice(binding, checkpoint, { rows: [1, 3], columns: [0, 1] }))]).toEqual(
        expected.slice(1),
      );
    }
  });
});

it("a layout of other rows than the weight has is the architecture's mistake", () => {
  const files = [{ w: filled([6, 5], () => 0) }];
  const wrong = new Map([["w", new WeightSpec([4, 5], [whole("w", { rows: [0, 6] })])]]);
  expect(() => bind(wrong, "safetensors", files)).toThrow(TapeError);
  expect(() => bind(wrong, "safetensors", files)).toThrow(/^w: a layout's pieces must have the 4 rows of \[4, 5\]/);
});
