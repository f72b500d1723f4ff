import fc from "fast-check";
import { expect, test } from "vitest";
import type { Checkpoint } from "../src/checkpoint/checkpoint.ts";
import { openSafetensors, openSafetensorsFile } from "../src/checkpoint/safetensors.ts";
import { CheckpointError } from "../src/errors.ts";
import { DTYPE_SIZE_BYTES, type Dtype } from "../src/tensor/dtype.ts";
import { numel } from "../src/tensor/shape.ts";
import { concat, entry, MemoryFolder, MemorySource, safetensors, utf8 } from "./checkpoint-files.ts";

type Specs = readonly { name: string; dtype: Dtype; shape: number[] }[];

const specs: fc.Arbitrary<Specs> = fc.uniqueArray(
  fc.record({
    name: fc.oneof(fc.string({ unit: "binary", maxLength: 6 }), fc.constantFrom("__proto__", "constructor", '"', "\\")),
    dtype: fc.constantFrom(...(Object.keys(DTYPE_SIZE_BYTES) as Dtype[])),
    shape: fc.array(fc.nat(4), { maxLength: 3 }),
  }),
  { selector: ({ name }) => name, minLength: 1, maxLength: 5 },
);

function headerOf(tensors: Specs): { header: string; nDataBytes: number } {
  let end = 0;
  const entries = tensors.map(({ name, dtype, shape }) => {
    const begin = end;
    end += numel(shape) * DTYPE_SIZE_BYTES[dtype];
    return entry(name, dtype.toUpperCase(), shape, begin, end);
  });
  return { header: `{"__metadata__":{"format":"pt"},${entries}}`, nDataBytes: end };
}

const replacement = fc.oneof(
  fc.constantFrom("-1", "0", "1", "1e3", "0.5", "9007199254740992", "1e400", "null", "[]", "{}", '"F32"', '"U8"', ""),
  fc.nat(64).map(String),
);

/** What may happen to a text with structure: one of its numbers, strings or marks replaced, or any part repeated. */
const textMutation = fc.oneof(
  fc.tuple(fc.nat(), replacement).map(([which, by]) => replaceMatch(/-?\d+/g, which, by)),
  fc.tuple(fc.nat(), replacement).map(([which, by]) => replaceMatch(/"[^"]*"|[[\]{},:]/g, which, by)),
  fc.tuple(fc.nat(), fc.nat(80)).map(([start, length]) => (text: string) => {
    const from = start % (text.length + 1);
    return text.slice(0, from + length) + text.slice(from);
  }),
);

function replaceMatch(pattern: RegExp, which: number, by: string): (text: string) => string {
  return (text) => {
    const matches = [...text.matchAll(pattern)];
    const match = matches[which % matches.length];
    return match === undefined ? text : text.slice(0, match.index) + by + text.slice(match.index + match[0].length);
  };
}

/** What may happen to any bytes on their way: cut, extended, a byte changed. */
const byteMutation = fc.oneof(
  fc.nat().map((n) => (bytes: Uint8Array) => bytes.slice(0, n % (bytes.length + 1))),
  fc.uint8Array({ maxLength: 9 }).map((more) => (bytes: Uint8Array) => concat(bytes, more)),
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })).map(([at, flip]) => (bytes: Uint8Array) => {
    return bytes.map((byte, i) => (i === at % bytes.length ? byte ^ flip : byte));
  }),
);

const file = fc
  .record({
    tensors: specs,
    text: fc.array(textMutation, { maxLength: 2 }),
    lengthError: fc.oneof({ weight: 4, arbitrary: fc.constant(0n) }, fc.bigInt(-9n, 9n), fc.bigInt(0n, 2n ** 63n)),
    bytes: fc.array(byteMutation, { maxLength: 1 }),
  })
  .map(({ tensors, text, lengthError, bytes }) => {
    const { header, nDataBytes } = headerOf(tensors);
    const mutated = utf8(text.reduce((spelt, mutate) => mutate(spelt), header));
    const length = BigInt.asUintN(64, BigInt(mutated.length) + lengthError);
    return bytes.reduce((spoilt, mutate) => mutate(spoilt), safetensors(mutated, nDataBytes, length) as Uint8Array);
  });

/** Every tensor reads in full, by its shape, and whole is the same as row by row; else the opening was refused. */
async function isSound(opening: Promise<Checkpoint>): Promise<boolean> {
  let checkpoint: Checkpoint;
  try {
    checkpoint = await opening;
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    return false;
  }
  for (const tensor of checkpoint.tensors.values()) {
    const bytes = await checkpoint.read(tensor);
    expect(bytes.length).toBe(numel(tensor.shape) * DTYPE_SIZE_BYTES[tensor.dtype as Dtype]);
    if (tensor.shape.length > 0) expect(await checkpoint.readRows(tensor, 0, tensor.shape[0])).toEqual(bytes);
  }
  return true;
}

test("a safetensors file opens soundly or is refused, however it is damaged", async () => {
  let nSound = 0;
  const property = fc.asyncProperty(file, async (bytes) => {
    nSound += Number(await isSound(openSafetensorsFile(new MemorySource("file", bytes))));
  });
  await fc.assert(property, { numRuns: 300 });
  expect(nSound).toBeGreaterThan(10);
  expect(nSound).toBeLessThan(290);
});

test("a sharded folder opens soundly or is refused, and then every file is closed, however its index is damaged", async () => {
  const property = fc.asyncProperty(specs, specs, fc.array(textMutation, { maxLength: 2 }), async (one, two, text) => {
    const others = two.filter(({ name }) => one.every((tensor) => tensor.name !== name));
    const entries = [one, others].flatMap((tensors, i) =>
      tensors.map(({ name }) => `${JSON.stringify(name)}:"${i}.safetensors"`),
    );
    const index = text.reduce((spelt, mutate) => mutate(spelt), `{"weight_map":{${entries}}}`);
    const shards = [one, others.length > 0 ? others : two].map((tensors) => headerOf(tensors));
    const folder = new MemoryFolder({
      "model.safetensors.index.json": utf8(index),
      "0.safetensors": safetensors(shards[0].header, shards[0].nDataBytes),
      "1.safetensors": safetensors(shards[1].header, shards[1].nDataBytes),
    });
    const sound = await isSound(openSafetensors(folder));
    const nOpen = folder.opened.filter(({ nCloses }) => nCloses === 0).length;
    expect(nOpen).toBe(sound ? folder.opened.length - 1 : 0);
  });
  await fc.assert(property, { numRuns: 150 });
});
