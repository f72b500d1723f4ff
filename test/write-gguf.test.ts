/** Writing GGUF files: byte for byte what PyPI's gguf, llama.cpp's own writer, makes of the same numbers. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeGguf } from "../scripts/lib/write-gguf.ts";
import { openGguf } from "../src/checkpoint/gguf.ts";
import type { GgufMetadata, GgufValue } from "../src/checkpoint/gguf-values.ts";
import { encodeGguf, type GgufTensor } from "../src/checkpoint/write-gguf.ts";
import { RequestError } from "../src/errors.ts";
import { concat, MemoryFolder } from "./checkpoint-files.ts";
import { fixture } from "./support/fixtures.ts";

const bytesOf = (name: string) => new Uint8Array(readFileSync(fixture(`gguf/${name}.gguf`)));
const checkpointOf = (bytes: Uint8Array) => openGguf(new MemoryFolder({ "model.gguf": bytes }), "model.gguf");
const encoded = async (metadata: GgufMetadata, tensors: readonly GgufTensor[]) =>
  concat(...(await Array.fromAsync(encodeGguf(metadata, tensors))));

/** The float32 tensors of a file, to be written again. */
async function contents(name: string) {
  const checkpoint = await checkpointOf(bytesOf(name));
  const floats = [...checkpoint.tensors.values()].filter(({ dtype }) => dtype === "f32");
  const tensors = await Promise.all(
    floats.map(async ({ name, shape, ...stored }): Promise<GgufTensor> => {
      const numbers = new Float32Array((await checkpoint.read({ name, shape, ...stored })).buffer);
      return { name, shape, type: "f32", rows: () => [numbers] };
    }),
  );
  return { values: checkpoint.values, tensors };
}

describe("encodeGguf", () => {
  it.each(["gpt2", "llama", "llama3-rope", "qwen2-tied", "qwen3"])("writes %s.gguf as it is", async (name) => {
    const { values, tensors } = await contents(name);
    expect(Buffer.from(await encoded(values, tensors)).equals(bytesOf(name))).toBe(true);
  });

  it("writes metadata of every type, and a Map of them as it was read", async () => {
    const { values } = await contents("tensors");
    expect((await checkpointOf(await encoded(values, []))).values).toEqual(values);
  });

  it("writes the long lists of a vocabulary", async () => {
    const words = Array.from({ length: 200_000 }, (_, i) => `word ${i}`);
    const values: GgufMetadata = new Map([["words", { type: "array", of: "string", value: words }]]);
    expect((await checkpointOf(await encoded(values, []))).values).toEqual(values);
  });

  it.each(["f32", "f16", "bf16", "q8_0"] as const)("rounds to %s as PyPI's gguf does, in pieces too", async (type) => {
    const official = await checkpointOf(bytesOf("tensors"));
    const numbers = new Float32Array((await official.read(official.tensors.get("x")!)).buffer);
    async function* rows() {
      for (const [from, to] of [
        [0, 64],
        [64, 160],
        [160, 640],
      ] as const)
        yield numbers.subarray(from, to);
    }
    const bytes = await encoded(new Map(), [
      { name: "before", shape: [3], type: "f32", rows: () => [Float32Array.of(1, 2, 3)] },
      { name: "x", shape: [10, 64], type, rows },
    ]);
    const checkpoint = await checkpointOf(bytes);
    expect(checkpoint.tensors.get("x")).toMatchObject({ dtype: type, shape: [10, 64] });
    const expected = await official.read(official.tensors.get(type.toUpperCase())!);
    expect(await checkpoint.read(checkpoint.tensors.get("x")!)).toEqual(expected);
  });

  it("takes bytes that are in the type already as they are, whole blocks of them", async () => {
    const official = await checkpointOf(bytesOf("tensors"));
    const blocks = await official.read(official.tensors.get("Q8_0")!);
    const tensor = (...pieces: Uint8Array<ArrayBuffer>[]): GgufTensor => {
      return { name: "x", shape: [10, 64], type: "q8_0", rows: () => pieces };
    };
    const checkpoint = await checkpointOf(await encoded(new Map(), [tensor(blocks.slice(0, 34), blocks.slice(34))]));
    expect(await checkpoint.read(checkpoint.tensors.get("x")!)).toEqual(blocks);
    const cut = encoded(new Map(), [tensor(blocks.slice(0, 33), blocks.slice(33))]);
    await expect(cut).rejects.toThrow("pieces must hold whole blocks, 640 elements in all");
    await expect(encoded(new Map(), [tensor(blocks.slice(34))])).rejects.toThrow("needs 640 elements; got 32 less");
  });

  it("keeps to the alignment that the metadata ask for", async () => {
    const alignment = 4096;
    const tensor = (name: string): GgufTensor => ({ name, shape: [1], type: "f32", rows: () => [Float32Array.of(1)] });
    const values: GgufMetadata = new Map([["general.alignment", { type: "u32", value: alignment }]]);
    const { tensors } = await checkpointOf(await encoded(values, [tensor("a"), tensor("b")]));
    expect(Array.from(tensors.values(), ({ offset }) => offset)).toEqual([alignment, 2 * alignment]);
  });

  const ones = (shape: readonly number[], nElements: number, type: GgufTensor["type"] = "f32"): GgufTensor => {
    return { name: "t", shape, type, rows: () => [new Float32Array(nElements).fill(1)] };
  };
  const value = (entry: GgufValue): GgufMetadata => new Map([["k", entry]]);

  it.each<[string, GgufMetadata, readonly GgufTensor[], RegExp]>([
    ["too few numbers", new Map(), [ones([2, 3], 5)], /t: shape \[2, 3\] needs 6 elements; got 1 less/],
    [
      "too many numbers",
      new Map(),
      [ones([2, 3], 7)],
      /whole blocks, 6 elements in all; got a piece of 7, with 6 left/,
    ],
    ["half a block at a time", new Map(), [ones([2, 32], 16, "q8_0")], /whole blocks, 64 .* got a piece of 16/],
    [
      "rows of half blocks",
      new Map(),
      [ones([2, 16], 32, "q8_0")],
      /rows of whole blocks of 32 in q8_0; got \[2, 16\]/,
    ],
    ["five axes", new Map(), [ones([1, 1, 1, 1, 1], 1)], /a shape is 1 to 4 sizes/],
    ["no size", new Map(), [ones([0, 3], 0)], /a shape is 1 to 4 sizes.* got \[0, 3\]/],
    ["a name twice", new Map(), [ones([1], 1), ones([1], 1)], /every tensor must have a name of its own/],
    ["a name too long for ggml", new Map(), [{ ...ones([1], 1), name: "é".repeat(32) }], /at most 63 bytes .* got 64/],
    ["a number beyond its type", value({ type: "u8", value: 256 }), [], /k: the value must be a u8; got number 256/],
    ["a fraction as an integer", value({ type: "i32", value: 0.5 }), [], /must be a i32; got number 0.5/],
    ["a number as a 64-bit integer", value({ type: "u64", value: 1 }), [], /must be a u64; got number 1/],
    ["text as a number", value({ type: "f32", value: "1" }), [], /must be a f32; got string "1"/],
    ["a number in an array of text", value({ type: "array", of: "string", value: ["a", 1] }), [], /must be a string/],
    [
      "an alignment of 12",
      new Map([["general.alignment", { type: "u32", value: 12 }]]),
      [],
      /a power of two from 8 up/,
    ],
  ])("refuses %s", async (_, metadata, tensors, message) => {
    const refusal = encoded(metadata, tensors);
    await expect(refusal).rejects.toThrow(RequestError);
    await expect(refusal).rejects.toThrow(message);
  });

  it.each([8.4e6, Number.POSITIVE_INFINITY, Number.NaN])("refuses %f in q8_0, which cannot hold it", async (number) => {
    const numbers = new Float32Array(64).fill(1);
    numbers[40] = number;
    const tensor: GgufTensor = { name: "t", shape: [64], type: "q8_0", rows: () => [numbers] };
    await expect(encoded(new Map(), [tensor])).rejects.toThrow(
      /t, from element 32 on: Q8_0 holds numbers up to 127 · 65504/,
    );
  });
});

describe("writeGguf", () => {
  it("writes a file, from tensors that are made one after another", async () => {
    const { values, tensors } = await contents("llama");
    const folder = mkdtempSync(join(tmpdir(), "golgi-"));
    async function* made() {
      yield* tensors;
    }
    await writeGguf(join(folder, "model.gguf"), values, made());
    expect(readFileSync(join(folder, "model.gguf")).equals(bytesOf("llama"))).toBe(true);
    rmSync(folder, { recursive: true });
  });

  it("leaves nothing behind where it fails", async () => {
    const folder = mkdtempSync(join(tmpdir(), "golgi-"));
    const failing: GgufTensor = { name: "t", shape: [1 << 20], type: "f32", rows: () => [new Float32Array(1 << 19)] };
    await expect(writeGguf(join(folder, "model.gguf"), new Map(), [failing])).rejects.toThrow(RequestError);
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
  });
});
