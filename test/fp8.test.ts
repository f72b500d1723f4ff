/** Weights whose scales lie in tensors of their own: E4M3 with a scale for each block, MXFP4 as transformers splits it. */

import { describe, expect, it } from "vitest";
import { CheckpointError } from "../src/errors.ts";
import { floatArray, type Precision } from "../src/tensor/dtype.ts";
import { decodeF8E4M3 } from "../src/tensor/formats/fp8-e4m3.ts";
import { decodeMXFP4, decodeMXFP4Split, joinMXFP4 } from "../src/tensor/formats/mxfp4.ts";
import { bindWeights } from "../src/weights/bind.ts";
import { decodeSlice, decodeWeight } from "../src/weights/decode.ts";
import { matrices, mxfp4Matrices, numbered, ofHeads, stored, WeightSpec, whole } from "../src/weights/schema.ts";
import { rowSegments } from "../src/weights/segments.ts";
import { randomFrom } from "./op-support/random.ts";
import { bytes, float32, type MemoryTensor, memoryCheckpoint } from "./support/memory-checkpoint.ts";

/** E4M3 from its definition: (−1)^s · 2^(e − 7) · 1.m, subnormal for e = 0; S.1111.111 is no number. */
function e4m3(code: number): number {
  const bits = code.toString(2).padStart(8, "0");
  const [sign, e, m] = [
    bits[0] === "1" ? -1 : 1,
    Number.parseInt(bits.slice(1, 5), 2),
    Number.parseInt(bits.slice(5), 2),
  ];
  if (e === 0b1111 && m === 0b111) return Number.NaN;
  return e === 0 ? sign * 2 ** (1 - 7) * (m / 8) : sign * 2 ** (e - 7) * (1 + m / 8);
}

/** E2M1 from its definition: bias 1, subnormal for e = 0. */
function e2m1(code: number): number {
  const [sign, e, m] = [code & 8 ? -1 : 1, (code >> 1) & 3, code & 1];
  return e === 0 ? sign * (m / 2) : sign * 2 ** (e - 1) * (1 + m / 2);
}

const allCodes = (n: number) => Array.from({ length: n }, (_, code) => code);

/** Numbers that are equal whatever the sign of a zero. */
const plain = (numbers: ArrayLike<number>) => Array.from(numbers, (x) => x + 0);

describe("the numbers of a code", () => {
  it.each<Precision>(["f32", "f64"])("are those of the definition of E4M3, all 256, in %s", (precision) => {
    const out = floatArray(precision, 257).fill(9);
    const codes = Uint8Array.from(allCodes(256));
    decodeF8E4M3({ codes, rowLength: 256, firstRow: 0, scales: Float32Array.of(1, 1) }, out, 1);
    expect(out[0]).toBe(9);
    expect([...out.subarray(1)]).toEqual(allCodes(256).map(e4m3));
    expect([out[1 + 0x7e], out[1 + 0x01], out[1 + 0xff]]).toEqual([448, 2 ** -9, Number.NaN]);
  });

  it("are those of the definition of E2M1, all 16, in both halves of a byte", () => {
    const out = new Float32Array(33);
    const blocks = Uint8Array.from(allCodes(16), (code) => code | ((15 - code) << 4));
    decodeMXFP4Split(blocks, Uint8Array.of(129), out, 1);
    const expected = allCodes(16).flatMap((code) => [4 * e2m1(code), 4 * e2m1(15 - code)]);
    expect(plain(out.subarray(1))).toEqual(plain(expected));
  });

  it("of MXFP4 are the same with the exponents in their blocks", () => {
    const random = randomFrom(3);
    const blocks = Uint8Array.from({ length: 5 * 16 }, () => 256 * random());
    const exponents = Uint8Array.of(127, 0, 254, 120, 1);
    const [split, joined] = [new Float32Array(160), new Float32Array(160)];
    decodeMXFP4Split(blocks, exponents, split, 0);
    decodeMXFP4(joinMXFP4(blocks, exponents), joined, 0);
    expect(joined).toEqual(split);
  });
});

/** A matrix of E4M3 with its scales, and its numbers by plain loops. */
function fp8(name: string, shape: readonly number[]) {
  const random = randomFrom(shape.reduce((a, b) => a * b));
  const [nRows, nColumns] = shape.slice(-2) as [number, number];
  const nMatrices = shape.length > 2 ? shape[0]! : 1;
  const [nBlockRows, nBlockColumns] = [Math.ceil(nRows / 128), Math.ceil(nColumns / 128)];
  const codes = Array.from({ length: nMatrices * nRows * nColumns }, () => Math.floor(126 * random()));
  const scales = Float32Array.from({ length: nMatrices * nBlockRows * nBlockColumns }, random);
  const numbers = codes.map((code, i) => {
    const [matrix, row, column] = [
      Math.floor(i / nColumns / nRows),
      Math.floor(i / nColumns) % nRows,
      i % nColumns,
    ] as const;
    const scaleRow = matrix * nBlockRows + Math.floor(row / 128);
    return Math.fround(e4m3(code) * scales[scaleRow * nBlockColumns + Math.floor(column / 128)]!);
  });
  const scaleShape = [...shape.slice(0, -2), nBlockRows, nBlockColumns];
  const tensors: Record<string, MemoryTensor> = {
    [name]: bytes(shape, "f8_e4m3", codes),
    [`${name}_scale_inv`]: float32(scaleShape, scales),
  };
  return { tensors, scales, row: (row: number) => numbers.slice(row * nColumns, (row + 1) * nColumns) };
}

const NOTHING = { prefix: "model.", ignored: [] };
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe("a matrix in E4M3", () => {
  it.each([
    [200, 150],
    [128, 256],
    [5, 7],
  ])("of %d by %d has a scale for each block, also of those at its edges", async (nRows, nColumns) => {
    const { tensors, row } = fp8("w", [nRows, nColumns]);
    const { checkpoint } = memoryCheckpoint("safetensors", tensors);
    const { weights, ignored } = bindWeights(new Map([["w", stored("w", [nRows, nColumns])]]), checkpoint, NOTHING);
    const binding = weights.get("w")!;
    expect([binding.dtype, ignored]).toEqual(["f8_e4m3", []]);
    expect([...(await decodeWeight(binding, checkpoint, "f64"))]).toEqual(range(0, nRows).flatMap(row));
  });

  it("has the scales of its own rows where it begins in the middle of a block", async () => {
    const { tensors, row } = fp8("w", [300, 140]);
    const { checkpoint, sources } = memoryCheckpoint("safetensors", tensors);
    const parts = [stored("w", [170, 140], { rows: [0, 170] }), stored("w", [130, 140], { rows: [170, 300] })];
    const { weights } = bindWeights(
      new Map([
        ["a", parts[0]!],
        ["b", parts[1]!],
      ]),
      checkpoint,
      NOTHING,
    );
    const b = weights.get("b")!;
    expect([...(await decodeWeight(b, checkpoint, "f32"))]).toEqual(range(170, 300).flatMap(row));
    const before = sources[0]!.nBytesRead;
    const slice = await decodeSlice(b, checkpoint, { rows: [20, 100], columns: [120, 135] });
    expect([...slice]).toEqual(range(190, 270).flatMap((i) => row(i).slice(120, 135)));
    expect(sources[0]!.nBytesRead - before).toBe(80 * 140 + 2 * 2 * 4);
    const [{ offset, scales }] = rowSegments(b) as [ReturnType<typeof rowSegments>[0]];
    expect(offset).toBe(16 + 170 * 140);
    expect(scales).toMatchObject({ offset: 16 + 300 * 140, rowBytes: 8, rowsPerScale: 128, firstRow: 170 });
  });

  it("keeps its scales where the rows of heads are taken by turns", async () => {
    const { tensors, row } = fp8("w", [4 * 70, 32]);
    const { checkpoint } = memoryCheckpoint("safetensors", tensors);
    const part = (from: number, to: number) => new WeightSpec([4 * (to - from), 32], [ofHeads("w", 4, 70, [from, to])]);
    const { weights } = bindWeights(
      new Map([
        ["k", part(0, 40)],
        ["v", part(40, 70)],
      ]),
      checkpoint,
      NOTHING,
    );
    const expected = range(0, 4).flatMap((head) => range(70 * head + 40, 70 * head + 70).flatMap(row));
    expect([...(await decodeWeight(weights.get("v")!, checkpoint, "f32"))]).toEqual(expected);
    expect(rowSegments(weights.get("v")!).map(({ scales }) => scales?.firstRow)).toEqual([40, 110, 180, 250]);
  });

  it("of each expert has blocks of its own, in one tensor and in many", async () => {
    const packed = fp8("w", [3, 150, 130]);
    const each = range(0, 3).map((e) => fp8(`e${e}`, [150 + 0 * e, 130]));
    const checkpoints = [
      { files: [packed.tensors], layout: whole("w"), expected: range(0, 450).flatMap(packed.row) },
      { files: [packed.tensors], layout: matrices("w", 3), expected: range(0, 450).flatMap(packed.row) },
      {
        files: each.map(({ tensors }) => tensors),
        layout: numbered("e{e}", 3),
        expected: each.flatMap(({ row }) => range(0, 150).flatMap(row)),
      },
    ];
    for (const { files, layout, expected } of checkpoints) {
      const { checkpoint } = memoryCheckpoint("safetensors", ...files);
      const spec = new WeightSpec([3, 150, 130], [layout]);
      const binding = bindWeights(new Map([["w", spec]]), checkpoint, NOTHING).weights.get("w")!;
      expect([...(await decodeWeight(binding, checkpoint, "f32"))]).toEqual(expected);
      expect(rowSegments(binding).map(({ firstRow, scales }) => [firstRow, scales?.firstRow])).toEqual([
        [0, 0],
        [150, 0],
        [300, 0],
      ]);
    }
  });

  it.each<[string, (tensors: Record<string, MemoryTensor>) => void, RegExp]>([
    ["none", (tensors) => delete tensors.w_scale_inv, /w: f8_e4m3 needs f32 \[2, 2\] in w_scale_inv.*; got no tensor/],
    [
      "too few",
      (tensors) => (tensors.w_scale_inv = float32([1, 2], [1, 1])),
      /f32 \[2, 2\] in w_scale_inv.*; got f32 \[1, 2\]\. .*take the model in bf16/,
    ],
    [
      "those of another type",
      (tensors) => (tensors.w_scale_inv = bytes([2, 2], "f16", new Array(8).fill(0))),
      /; got f16 \[2, 2\]\./,
    ],
  ])("is refused with %s of its scales", (_, change, message) => {
    const { tensors } = fp8("w", [200, 150]);
    change(tensors);
    const { checkpoint } = memoryCheckpoint("safetensors", tensors);
    const bind = () => bindWeights(new Map([["w", stored("w", [200, 150])]]), checkpoint, NOTHING);
    expect(bind).toThrow(CheckpointError);
    expect(bind).toThrow(message);
  });

  it("is no vector", () => {
    const { checkpoint } = memoryCheckpoint("safetensors", { b: bytes([3], "f8_e4m3", [1, 2, 3]) });
    const bind = () => bindWeights(new Map([["b", stored("b", [3])]]), checkpoint, NOTHING);
    expect(bind).toThrow(/vectors must be f32, f16, bf16; got f8_e4m3/);
  });
});

describe("experts in MXFP4 with scales apart", () => {
  const [E, out, nIn] = [2, 3, 64];

  function gateUp() {
    const random = randomFrom(17);
    const blocks = Array.from({ length: E * 2 * out * (nIn / 2) }, () => Math.floor(256 * random()));
    const exponents = Array.from({ length: E * 2 * out * (nIn / 32) }, () => 120 + Math.floor(10 * random()));
    const number = (row: number, column: number) => {
      const half = (blocks[(row * nIn + column) >> 1]! >> (4 * (column & 1))) & 15;
      return e2m1(half) * 2 ** (exponents[(row * nIn + column) >> 5]! - 127);
    };
    const tensors = {
      gate_up_blocks: bytes([E, 2 * out, nIn / 32, 16], "u8", blocks),
      gate_up_scales: bytes([E, 2 * out, nIn / 32], "u8", exponents),
    };
    return { tensors, row: (row: number) => range(0, nIn).map((column) => number(row, column)) };
  }

  const specs = (n = E) =>
    new Map(
      ([0, 1] as const).map((first) => {
        const layout = mxfp4Matrices("gate_up", n, { rows: [first, 2 * out], step: 2 });
        return [first === 0 ? "gate" : "up", new WeightSpec([n, out, nIn], [layout])];
      }),
    );

  it("have the rows of gate and up by turns", async () => {
    const { tensors, row } = gateUp();
    const { checkpoint, sources } = memoryCheckpoint("safetensors", tensors);
    const { weights } = bindWeights(specs(), checkpoint, NOTHING);
    for (const [name, first] of [
      ["gate", 0],
      ["up", 1],
    ] as const) {
      const binding = weights.get(name)!;
      expect(binding.dtype).toBe("mxfp4_split");
      const expected = range(0, E * out).flatMap((i) => row(2 * i + first));
      expect(plain(await decodeWeight(binding, checkpoint, "f64"))).toEqual(plain(expected));
      expect(rowSegments(binding)).toMatchObject([
        {
          offset: 16 + first * 32,
          rowBytes: 64,
          firstRow: 0,
          nRows: E * out,
          scales: { offset: 16 + E * 2 * out * 32, rowBytes: 2, rowsPerScale: 1, firstRow: first },
        },
      ]);
    }
    const before = sources[0]!.nBytesRead;
    const one = await decodeSlice(weights.get("up")!, checkpoint, { rows: [out + 1, out + 2], columns: [30, 40] });
    expect(plain(one)).toEqual(plain(row(2 * (out + 1) + 1).slice(30, 40)));
    expect(sources[0]!.nBytesRead - before).toBe(32 + 2);
  });

  it("are refused without their scales, and with others", () => {
    const { tensors } = gateUp();
    const bind = (given: Record<string, MemoryTensor>) => () =>
      bindWeights(specs(), memoryCheckpoint("safetensors", given).checkpoint, NOTHING);
    const { gate_up_scales: scales, ...blocks } = tensors;
    expect(bind(blocks)).toThrow(/gate_up_scales: the checkpoint must hold this tensor, it is gate \[2, 3, 64\]/);
    const wrong = { ...blocks, gate_up_scales: { ...scales, shape: [E, out, 4] } };
    expect(bind(wrong)).toThrow(
      /gate_up_blocks: blocks of MXFP4 are u8 \[\.\.\., 16\].*got u8 \[2, 6, 2, 16\] and u8 \[2, 3, 4\]/,
    );
  });
});
