/** Putting tensors together from weights that lie otherwise, in bounded memory. */

import { describe, expect, it } from "vitest";
import { type Checkpoint, checkpointOf } from "../src/checkpoint/checkpoint.ts";
import { readSafetensorsHeader } from "../src/checkpoint/safetensors-header.ts";
import { streamSafetensors } from "../src/checkpoint/write-safetensors.ts";
import { targetTensors, tensorBytes } from "../src/convert/target-tensor.ts";
import type { ComputeDtype } from "../src/tensor/dtype.ts";
import { bindWeights } from "../src/weights/bind.ts";
import { stored, type WeightSpec } from "../src/weights/schema.ts";
import { concat, MemorySource } from "./checkpoint-files.ts";

/** Exact in float16, and another number after every wrong turn. */
const at = (row: number, column: number) => ((row * 31 + column * 7) % 2039) - 1000;

/** A checkpoint of one tensor [nRows, nColumns] with `at`, which counts what is read at once. */
async function checkpointWith(name: string, nRows: number, nColumns: number, dtype: ComputeDtype) {
  const numbers = new (dtype === "f16" ? Float16Array : Float32Array)(nRows * nColumns);
  for (let row = 0; row < nRows; row++) {
    for (let column = 0; column < nColumns; column++) numbers[row * nColumns + column] = at(row, column);
  }
  const bytes = new Uint8Array(numbers.buffer as ArrayBuffer);
  const tensor = {
    name,
    shape: [nRows, nColumns],
    dtype,
    bytes: async function* () {
      yield bytes;
    },
  };
  const source = new MemorySource("m", concat(...(await Array.fromAsync(streamSafetensors([tensor])))));
  const checkpoint = checkpointOf("m", "safetensors", [await readSafetensorsHeader("m", source)]);
  const reads: number[] = [];
  const counting: Checkpoint = {
    ...checkpoint,
    readRows: (tensor, from, n) => {
      reads.push(n * nColumns);
      return checkpoint.readRows(tensor, from, n);
    },
  };
  return { checkpoint: counting, reads };
}

/** The only target tensor of these weights, whole. */
async function whole(
  specs: Record<string, WeightSpec>,
  checkpoint: Checkpoint,
  target: "huggingFace" | "gguf",
  type: ComputeDtype,
) {
  const declared = new Map(Object.entries(specs));
  const { weights } = bindWeights(declared, checkpoint, { prefix: "", ignored: [] });
  const [tensor] = targetTensors(declared, weights, (_, spec) => spec[target][0]!);
  const pieces = await Array.fromAsync(tensorBytes(tensor, type, checkpoint));
  const { buffer } = concat(...pieces);
  const numbers = type === "f16" ? new Float16Array(buffer) : new Float32Array(buffer);
  return { shape: tensor.shape, numbers, largestPiece: Math.max(...pieces.map(({ length }) => length)) };
}

/** Of the first place where the numbers are not those of `expected`; −1 where all are. */
function firstWrong(numbers: ArrayLike<number>, nColumns: number, expected: (row: number, column: number) => number) {
  for (let i = 0; i < numbers.length; i++) {
    if (numbers[i] !== expected(Math.floor(i / nColumns), i % nColumns)) return i;
  }
  return -1;
}

describe("streamSafetensors", () => {
  const streamed = (name: string, dtype: ComputeDtype, ...pieces: number[][]) => ({
    name,
    shape: [2],
    dtype,
    bytes: async function* () {
      for (const piece of pieces) yield Uint8Array.from(piece);
    },
  });

  it("puts wider types first, so that every element is aligned", async () => {
    const tensors = [streamed("a", "f16", [1, 2], [3, 4]), streamed("b", "f32", [5, 6, 7, 8, 9, 10, 11, 12])];
    const bytes = concat(...(await Array.fromAsync(streamSafetensors(tensors))));
    const { tensors: found } = await readSafetensorsHeader("m", new MemorySource("m", bytes));
    expect(found.map(({ name, dtype }) => [name, dtype])).toEqual([
      ["b", "f32"],
      ["a", "f16"],
    ]);
    expect([...bytes.subarray(-4)]).toEqual([1, 2, 3, 4]);
  });

  it("refuses a tensor of another length than its shape says", async () => {
    const pieces = Array.fromAsync(streamSafetensors([streamed("a", "f16", [1, 2])]));
    await expect(pieces).rejects.toThrow('tensor "a": shape [2] needs 2 elements; got 1');
  });
});

describe("tensorBytes", () => {
  it.each(["f16", "f32"] as const)("turns a tensor over in several passes, from f16 to %s", async (type) => {
    const [nIn, nOut] = [900, 20_000];
    const { checkpoint, reads } = await checkpointWith("w", nIn, nOut, "f16");
    const specs = { w: stored("w", [nOut, nIn], { transposed: true, gguf: "w" }) };
    const { shape, numbers, largestPiece } = await whole(specs, checkpoint, "gguf", type);
    expect(shape).toEqual([nOut, nIn]);
    expect(firstWrong(numbers, nIn, (row, column) => at(column, row))).toBe(-1);
    expect(reads.reduce((a, b) => a + b)).toBe(2 * nIn * nOut);
    expect(Math.max(...reads)).toBeLessThanOrEqual(2 ** 20);
    expect(largestPiece).toBeLessThan(2 * nIn * nOut * 2);
  });

  it("turns rows into columns in several passes", async () => {
    const [nOut, nIn] = [20_000, 900];
    const { checkpoint, reads } = await checkpointWith("w", nOut, nIn, "f16");
    const spec = stored("w", [nOut, nIn], { transposed: true, gguf: "w" });
    const { weights } = bindWeights(new Map([["w", stored("w", [nOut, nIn])]]), checkpoint, {
      prefix: "",
      ignored: [],
    });
    const [tensor] = targetTensors(new Map([["w", spec]]), weights, (_, { huggingFace }) => huggingFace[0]!);
    expect(tensor.shape).toEqual([nIn, nOut]);
    const { buffer } = concat(...(await Array.fromAsync(tensorBytes(tensor, "f16", checkpoint))));
    expect(firstWrong(new Float16Array(buffer), nOut, (row, column) => at(column, row))).toBe(-1);
    expect(reads.reduce((a, b) => a + b)).toBe(2 * nIn * nOut);
  });

  it("copies rows in pieces that do not grow with the tensor", async () => {
    const [nRows, nColumns] = [3000, 1000];
    const { checkpoint, reads } = await checkpointWith("w", nRows, nColumns, "f32");
    const specs = { w: stored("w", [nRows, nColumns], { gguf: "w" }) };
    const { numbers } = await whole(specs, checkpoint, "gguf", "f32");
    expect(firstWrong(numbers, nColumns, at)).toBe(-1);
    expect(Math.max(...reads)).toBeLessThanOrEqual(2 ** 20);
  });

  it("puts heads' rows in pairs, also where a piece ends within a head", async () => {
    const [nHeads, headDim, nColumns] = [3, 1000, 701];
    const nRows = nHeads * headDim;
    const { checkpoint } = await checkpointWith("w", nRows, nColumns, "f32");
    const specs = { w: stored("w", [nRows, nColumns], { gguf: "w", ggufPairedHeads: nHeads }) };
    const { numbers } = await whole(specs, checkpoint, "gguf", "f32");
    // LlamaModel.permute of llama.cpp's converter: [heads, 2, d/2] becomes [heads, d/2, 2].
    const source = (row: number) => {
      const [head, inHead] = [Math.floor(row / headDim), row % headDim];
      return head * headDim + (inHead % 2) * (headDim / 2) + Math.floor(inHead / 2);
    };
    expect(firstWrong(numbers, nColumns, (row, column) => at(source(row), column))).toBe(-1);
  });

  it("puts fused weights one below the other, and side by side where they are columns", async () => {
    const [nIn, nOut] = [40, 30];
    const { checkpoint } = await checkpointWith("qkv", nIn, 3 * nOut, "f32");
    const spec = (third: number) =>
      stored("qkv", [nOut, nIn], { transposed: true, rows: [third * nOut, (third + 1) * nOut], gguf: "qkv" });
    const specs = { k: spec(1), v: spec(2), q: spec(0) };
    const rows = await whole(specs, checkpoint, "gguf", "f32");
    expect(rows.shape).toEqual([3 * nOut, nIn]);
    expect(firstWrong(rows.numbers, nIn, (row, column) => at(column, row))).toBe(-1);
    const columns = await whole(specs, checkpoint, "huggingFace", "f32");
    expect(columns.shape).toEqual([nIn, 3 * nOut]);
    expect(firstWrong(columns.numbers, 3 * nOut, at)).toBe(-1);
  });
});
