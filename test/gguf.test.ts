/** Reading GGUF files: against files that PyPI's gguf wrote, and against damaged ones put together by hand. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type GgufCheckpoint, openGguf } from "../src/checkpoint/gguf.ts";
import { CheckpointError, type ErrorCode } from "../src/errors.ts";
import { decodeRows, type PlainFormat } from "../src/tensor/format.ts";
import { numel } from "../src/tensor/shape.ts";
import { concat, MemoryFolder, MemorySource } from "./checkpoint-files.ts";
import { fixture } from "./support/fixtures.ts";
import { ggufFile, TENSOR, tensor, text, u8, u32, u64, VALUE, value } from "./support/gguf-files.ts";

const officialBytes = new Uint8Array(readFileSync(fixture("gguf/tensors.gguf")));
const folderOf = (bytes: Uint8Array) => new MemoryFolder({ "model.gguf": bytes });
const openBytes = (bytes: Uint8Array) => openGguf(folderOf(bytes), "model.gguf");
const official = () => openBytes(officialBytes);

async function decoded(checkpoint: GgufCheckpoint, name: string): Promise<Float32Array> {
  const stored = checkpoint.tensors.get(name)!;
  const numbers = new Float32Array(numel(stored.shape));
  decodeRows(stored.dtype as PlainFormat, await checkpoint.read(stored), numbers, 0);
  return numbers;
}

describe("a file that PyPI's gguf wrote", () => {
  it("gives values of every type", async () => {
    const values = Object.fromEntries((await official()).values);
    const numbers = {
      "test.uint8": { type: "u8", value: 255 },
      "test.int8": { type: "i8", value: -128 },
      "test.uint16": { type: "u16", value: 65535 },
      "test.int16": { type: "i16", value: -32768 },
      "test.uint32": { type: "u32", value: 2 ** 32 - 1 },
      "test.int32": { type: "i32", value: -(2 ** 31) },
      "test.float32": { type: "f32", value: Math.fround(1e-6) },
      "test.uint64": { type: "u64", value: 2n ** 64n - 1n },
      "test.int64": { type: "i64", value: -(2n ** 63n) },
      "test.float64": { type: "f64", value: 1e-300 },
      "test.bool": { type: "bool", value: true },
      "test.string": { type: "string", value: "é🙂" },
    };
    expect(values).toMatchObject(numbers);
    for (const [key, { type, value }] of Object.entries(numbers)) {
      const array = values[`${key}s`]!;
      expect(array).toMatchObject({ type: "array", of: type });
      expect(Array.from(array.value as ArrayLike<unknown>).slice(1)).toEqual([value]);
    }
    expect((await official()).metadata).toEqual({ "general.architecture": "none", "test.string": "é🙂" });
  });

  it("gives shapes with the innermost size last, and tensors in the order of their bytes", async () => {
    const { tensors, format } = await official();
    expect(format).toBe("gguf");
    expect(tensors.get("axes")).toMatchObject({ dtype: "i32", shape: [2, 3, 4], sizeBytes: 96 });
    expect(tensors.get("Q8_0")).toMatchObject({ dtype: "q8_0", shape: [10, 64], sizeBytes: 10 * 2 * 34 });
    const offsets = Array.from(tensors.values(), ({ offset }) => offset);
    expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
  });

  it("reads a range of rows", async () => {
    const checkpoint = await official();
    const axes = checkpoint.tensors.get("axes")!;
    const { buffer } = await checkpoint.readRows(axes, 1, 1);
    expect([...new Int32Array(buffer)]).toEqual(Array.from({ length: 12 }, (_, i) => 12 + i));
  });

  it.each(["F32", "F16", "BF16", "Q8_0"])("decodes %s to the bits of its own decoder", async (name) => {
    const checkpoint = await official();
    const numbers = await decoded(checkpoint, name);
    expect(new Uint32Array(numbers.buffer)).toEqual(
      new Uint32Array((await decoded(checkpoint, `${name}.values`)).buffer),
    );
  });
});

describe("openGguf", () => {
  it("reads version 2 and an alignment of the file's own", async () => {
    const values = [value("general.alignment", VALUE.u32, u32(64))];
    const tensors = [tensor("b", [2, 1], TENSOR.f32, 64), tensor("a", [2], TENSOR.f32, 0)];
    const checkpoint = await openBytes(ggufFile({ version: 2, values, tensors, alignment: 64, nDataBytes: 72 }));
    expect([...checkpoint.tensors.keys()]).toEqual(["a", "b"]);
    const b = checkpoint.tensors.get("b")!;
    expect(b.offset % 64).toBe(0);
    expect([...(await checkpoint.read(b))]).toEqual([65, 66, 67, 68, 69, 70, 71, 72]);
  });

  it("reads a header of several pieces, and at most about twice its bytes", async () => {
    const words = Array.from({ length: 100_000 }, (_, i) => `token ${i}`);
    const array = concat(u32(VALUE.string), u64(words.length), ...words.map(text));
    const file = ggufFile({ values: [value("tokens", VALUE.array, array)], nDataBytes: 3_000_000 });
    const folder = folderOf(file);
    const { values } = await openGguf(folder, "model.gguf");
    expect(values.get("tokens")?.value).toEqual(words);
    expect(folder.opened[0]?.nBytesRead).toBeLessThan(2 * (file.length - 3_000_000) + 2 ** 20);
  });

  it("reads a tensor of no elements, as ggml does", async () => {
    const tensors = [tensor("none", [0, 3], TENSOR.f32, 0), tensor("one", [1], TENSOR.f32, 0)];
    const checkpoint = await openBytes(ggufFile({ tensors, nDataBytes: 4 }));
    const none = checkpoint.tensors.get("none")!;
    expect(none.shape).toEqual([3, 0]);
    expect(await checkpoint.read(none)).toEqual(u8());
    expect(await checkpoint.readRows(none, 1, 2)).toEqual(u8());
  });

  it("reads text that is not UTF-8 as what it is, where it is", async () => {
    const { values } = await openBytes(
      ggufFile({ values: [value("k", VALUE.string, concat(u64(2), u8(0xff, 0x61)))] }),
    );
    expect(values.get("k")?.value).toBe("\uFFFDa");
  });

  it("refuses a header that only a huge file could hold, without reading it", async () => {
    const values = [value("k", VALUE.array, concat(u32(VALUE.string), u64(2 ** 30)))];
    const file = ggufFile({ values, nDataBytes: 2 ** 19 });
    const source = new MemorySource("model.gguf", file);
    Object.defineProperty(source, "sizeBytes", { value: 2 ** 41 });
    const folder = { name: "folder", list: async () => ["model.gguf"], open: async () => source };
    const refusal = /the header must be at most 134217728 bytes; got "k" of 8589934592/;
    await expect(openGguf(folder, "model.gguf")).rejects.toThrow(refusal);
    expect(source.nBytesRead).toBeLessThan(file.length);
  });
});

const oneTensor = (entry: Uint8Array, nDataBytes = 64) => ggufFile({ tensors: [entry], nDataBytes });
const oneValue = (type: number, bytes: Uint8Array) => ggufFile({ values: [value("k", type, bytes)] });
const aligned = (type: number, bytes: Uint8Array) => ggufFile({ values: [value("general.alignment", type, bytes)] });

const REFUSALS: readonly [name: string, bytes: Uint8Array, code: ErrorCode, message: string][] = [
  ["an empty file", u8(), "checkpoint.truncated", "the magic must end inside the file of 0 bytes"],
  [
    "another format",
    ggufFile({ magic: "ggjt" }),
    "checkpoint.header",
    'must begin with GGUF; got "ggjt". Is it a GGUF',
  ],
  ["version 1", ggufFile({ version: 1 }), "checkpoint.header", "the version must be 2 or 3, little-endian; got 1."],
  ["version 4", ggufFile({ version: 4 }), "checkpoint.header", "got 4. Convert the model again."],
  ["a big-endian file", ggufFile({ version: 0x03000000 }), "checkpoint.header", "got a big-endian file."],
  [
    "2^60 tensors",
    ggufFile({ nTensors: 2n ** 60n }),
    "checkpoint.header",
    "must be below 2^53; got 1152921504606846976",
  ],
  [
    "65537 tensors",
    ggufFile({ nTensors: 65_537, nDataBytes: 2 ** 21 }),
    "checkpoint.header",
    "the list of tensors must be at most 65536 long; got 65537.",
  ],
  ["10^9 tensors", ggufFile({ nTensors: 1e9 }), "checkpoint.truncated", "the list of tensors must end inside the file"],
  ["10^9 values", ggufFile({ nValues: 1e9 }), "checkpoint.truncated", "the metadata must end inside the file"],
  ["a value less than it says", ggufFile({ nValues: 1, nDataBytes: 4 }), "checkpoint.truncated", "must end inside"],
  ["an empty key", ggufFile({ values: [value("", VALUE.u8, u8(1))] }), "checkpoint.header", 'not empty; got "".'],
  [
    "a key twice",
    ggufFile({ values: [value("k", VALUE.u8, u8(1)), value("k", VALUE.u8, u8(1))] }),
    "checkpoint.header",
    'must be there once, and not empty; got "k" twice.',
  ],
  ["an unknown type of value", oneValue(13, u8(1)), "checkpoint.header", '"k": the type of a value must be 0 to 12'],
  ["a bool of 2", oneValue(VALUE.bool, u8(2)), "checkpoint.header", '"k": a bool must be 0 or 1; got 2.'],
  [
    "a string longer than the file",
    oneValue(VALUE.string, u64(1e12)),
    "checkpoint.truncated",
    'got "k" of 1000000000000 bytes',
  ],
  [
    "an array of 10^9 numbers",
    oneValue(VALUE.array, concat(u32(VALUE.u64), u64(1e9))),
    "checkpoint.truncated",
    'got "k" of 8000000000 bytes',
  ],
  [
    "an array of 10^9 strings",
    oneValue(VALUE.array, concat(u32(VALUE.string), u64(1e9))),
    "checkpoint.truncated",
    'got "k" of 8000000000 bytes',
  ],
  [
    "an array of arrays",
    oneValue(VALUE.array, concat(u32(VALUE.array), u64(1), u32(VALUE.u8), u64(1), u8(1))),
    "checkpoint.header",
    '"k": an array must not hold arrays, as in ggml; got an array of arrays.',
  ],
  [
    "a vocabulary of 5 million strings",
    oneValue(VALUE.array, concat(u32(VALUE.string), u64(5e6), new Uint8Array(4e7))),
    "checkpoint.header",
    'a header must have at most 4194304 elements; got "k" of 5000000.',
  ],
  [
    "5 million bools",
    oneValue(VALUE.array, concat(u32(VALUE.bool), u64(5e6), new Uint8Array(5e6))),
    "checkpoint.header",
    'a header must have at most 4194304 elements; got "k" of 5000000.',
  ],
  ["an alignment of 4", aligned(VALUE.u32, u32(4)), "checkpoint.header", "a power of two from 8 up, in u32; got 4 in"],
  ["an alignment of 48", aligned(VALUE.u32, u32(48)), "checkpoint.header", "got 48 in u32."],
  ["an alignment of another type", aligned(VALUE.u64, u64(32)), "checkpoint.header", "got 32 in u64."],
  [
    "an alignment of 2^31",
    ggufFile({
      values: [value("general.alignment", VALUE.u32, u32(2 ** 31))],
      tensors: [tensor("t", [1], TENSOR.f32, 0)],
      nDataBytes: 64,
    }),
    "checkpoint.truncated",
    "4 bytes from byte 2147483648 on in a file of",
  ],
  [
    "a tensor's name of 64 bytes",
    oneTensor(tensor("t".repeat(64), [1], TENSOR.f32, 0)),
    "checkpoint.header",
    "a tensor's name must be at most 63 long; got 64.",
  ],
  [
    "a tensor of 5 axes",
    oneTensor(tensor("t", [1, 1, 1, 1, 1], TENSOR.f32, 0)),
    "checkpoint.shape",
    'tensor "t": a tensor has at most 4 sizes; got 5.',
  ],
  [
    "a tensor of 2^64 elements",
    oneTensor(tensor("t", [2 ** 32, 2 ** 32], TENSOR.f32, 0)),
    "checkpoint.shape",
    "must stay below 2^53 bytes; got f32 [4294967296, 4294967296].",
  ],
  [
    "an unknown type of tensor",
    oneTensor(tensor("t", [1], 999, 0)),
    "checkpoint.dtype",
    "the type must be one of ggml's; got 999.",
  ],
  ["a type that ggml removed", oneTensor(tensor("t", [32], 4, 0)), "checkpoint.dtype", "got 4."],
  [
    "rows of half a block",
    oneTensor(tensor("t", [48, 1], TENSOR.q8_0, 0)),
    "checkpoint.shape",
    "rows of Q8_0 must be whole blocks of 32; got [1, 48].",
  ],
  [
    "a tensor that is not aligned",
    oneTensor(tensor("t", [1], TENSOR.f32, 4)),
    "checkpoint.tensor",
    "must begin at a multiple of 32; got 4.",
  ],
  [
    "a tensor behind the end",
    oneTensor(tensor("t", [17], TENSOR.f32, 0)),
    "checkpoint.truncated",
    "the tensor must end inside the file; got 68 bytes from byte",
  ],
  [
    "an offset of 2^53",
    oneTensor(tensor("t", [1], TENSOR.f32, 2 ** 53)),
    "checkpoint.header",
    "must be below 2^53; got 9007199254740992.",
  ],
  [
    "an offset of 2^63",
    oneTensor(tensor("t", [1], TENSOR.f32, 2n ** 63n)),
    "checkpoint.header",
    "must be below 2^53; got 9223372036854775808.",
  ],
  [
    "a negative size",
    oneTensor(tensor("t", [-1n & (2n ** 64n - 1n)], TENSOR.f32, 0)),
    "checkpoint.header",
    "must be below 2^53; got 18446744073709551615.",
  ],
  [
    "a product beyond 2^53 that a zero hides",
    oneTensor(tensor("t", [0, 2 ** 32, 2 ** 32], TENSOR.f32, 0)),
    "checkpoint.shape",
    "must stay below 2^53 bytes",
  ],
  [
    "tensors that overlap",
    ggufFile({ tensors: [tensor("a", [9], TENSOR.f32, 0), tensor("b", [1], TENSOR.f32, 32)], nDataBytes: 64 }),
    "checkpoint.tensor",
    'tensor "b": tensors must not overlap; got byte',
  ],
  [
    "a tensor twice",
    ggufFile({ tensors: [tensor("a", [1], TENSOR.f32, 0), tensor("a", [1], TENSOR.f32, 32)], nDataBytes: 64 }),
    "checkpoint.tensor",
    'tensor "a": every tensor must be there once; got it twice.',
  ],
];

describe("a damaged file", () => {
  it.each(REFUSALS)("is refused: %s", async (_, bytes, code, message) => {
    const folder = folderOf(bytes);
    const error = await openGguf(folder, "model.gguf").catch((error) => error);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.code).toBe(code);
    expect(error.message).toContain("model.gguf");
    expect(error.message).toContain(message);
    expect(folder.opened.map(({ nCloses }) => nCloses)).toEqual([1]);
  });

  it("is refused in few words where a key is 10^8 control characters", async () => {
    const key = concat(u64(1e8), new Uint8Array(1e8).fill(1));
    const refusal = /: "\\u0001[^ ]{70,80}: a bool must be 0 or 1; got 2/;
    await expect(openBytes(ggufFile({ values: [concat(key, u32(VALUE.bool), u8(2))] }))).rejects.toThrow(refusal);
  });

  it("is refused wherever it is cut", async () => {
    for (let length = 0; length < officialBytes.length; length += length < 2000 ? 1 : 97) {
      const cut = openBytes(officialBytes.subarray(0, length));
      await expect(cut, `${length} bytes`).rejects.toThrow(CheckpointError);
    }
  });

  it("is refused or read within its bounds, whichever bytes were changed", async () => {
    const [first] = (await official()).tensors.values();
    const change = fc.tuple(fc.nat(first!.offset - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const bytes = Uint8Array.from(officialBytes);
        for (const [at, byte] of changes) bytes[at] = byte;
        const opened = await openBytes(bytes).catch((error) => error);
        if (opened instanceof Error) expect(opened).toBeInstanceOf(CheckpointError);
        else for (const stored of opened.tensors.values()) await opened.read(stored);
      }),
      { numRuns: 500 },
    );
  });
});
