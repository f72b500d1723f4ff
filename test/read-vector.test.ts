/** Vectors that edits name in files. */

import { describe, expect, it } from "vitest";
import type { Host } from "../node/index.ts";
import { encodeSafetensors, type NamedTensor } from "../src/checkpoint/write-safetensors.ts";
import { readVector } from "../src/run/read-vector.ts";
import { MemorySource } from "./checkpoint-files.ts";

describe("a vector of a file", () => {
  const hostOf = (bytes: Uint8Array): Host => ({
    nowMs: () => 0,
    pause: async () => {},
    openFile: async (path) => new MemorySource(path, bytes),
  });
  const numbers = [1, -0.5, 3.25];
  const vector = (shape: number[], name = "v"): NamedTensor => ({ name, shape, data: Float32Array.from(numbers) });
  const read = (tensors: NamedTensor[], tensor = "v") =>
    readVector(hostOf(encodeSafetensors(tensors)), { file: "vec.safetensors", tensor });

  it("is read, with and without a leading 1", async () => {
    expect([...(await read([vector([3])]))]).toEqual(numbers);
    expect([...(await read([vector([1, 3])]))]).toEqual(numbers);
  });

  it.each([
    ["F16", new Float16Array(numbers)],
    ["F64", new Float64Array(numbers)],
    ["BF16", new Uint16Array(new Uint32Array(Float32Array.from(numbers).buffer).map((bits) => bits >>> 16))],
  ])("is read of type %s", async (dtype, data) => {
    const header = JSON.stringify({ v: { dtype, shape: [3], data_offsets: [0, data.byteLength] } }).padEnd(72);
    const bytes = Buffer.concat([Buffer.alloc(8), Buffer.from(header), Buffer.from(data.buffer)]);
    bytes.writeBigUInt64LE(BigInt(header.length));
    expect([...(await readVector(hostOf(bytes), { file: "f", tensor: "v" }))]).toEqual(numbers);
  });

  it.each<[string, NamedTensor[], RegExp]>([
    ["is not there", [vector([3], "w")], /^vec\.safetensors, tensor "v": .*; got a file of w \[3\]\. Did you mean w\?/],
    ["is a matrix", [vector([3, 1])], /tensor "v": a vector has the shape \[n\] or \[1, n\]; got \[3, 1\]\./],
  ])("is refused where it %s", async (_, tensors, message) => {
    await expect(read(tensors)).rejects.toThrow(message);
  });

  it("is refused of a type that has too few bits, and where there are no files", async () => {
    const header = '{"v":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}'.padEnd(56);
    const bytes = Buffer.concat([Buffer.alloc(8), Buffer.from(header), Buffer.alloc(8)]);
    bytes.writeBigUInt64LE(BigInt(header.length));
    const ref = { file: "f", tensor: "v" };
    await expect(readVector(hostOf(bytes), ref)).rejects.toThrow(/type must be f32, f16, bf16, f64; got i64\./);
    await expect(readVector({ nowMs: () => 0, pause: async () => {} }, ref)).rejects.toThrow(/platform has files/);
  });
});
