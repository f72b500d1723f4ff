/** The quantised formats of GGUF: every value and every block to the bit as PyPI's gguf, llama.cpp's own reader, has them. */

import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openFile } from "../node/files.ts";
import { loadAddon } from "../node/native/addon.ts";
import { openSafetensorsFile } from "../src/checkpoint/safetensors.ts";
import { RequestError } from "../src/errors.ts";
import { floatArray, type Precision } from "../src/tensor/dtype.ts";
import {
  type BlockFormat,
  blockOf,
  COMPUTE_FORMATS,
  decodeRows,
  encodeRows,
  isBlockFormat,
} from "../src/tensor/format.ts";
import { concat } from "./checkpoint-files.ts";
import { compile, floats, lookUp, step } from "./native-support/programs.ts";
import { fixture } from "./support/fixtures.ts";

const FORMATS = COMPUTE_FORMATS.filter((format) => isBlockFormat(format));

const pathOf = (format: BlockFormat) => fixture(`blocks/${format.toUpperCase()}.safetensors`);

/** Blocks, the values that gguf decodes, and for some formats numbers with the blocks that gguf encodes. */
async function vectors(format: BlockFormat) {
  const checkpoint = await openSafetensorsFile(await openFile(pathOf(format)));
  try {
    const read = async (name: string) => checkpoint.read(checkpoint.tensors.get(name)!);
    const numbers = async (name: string) => new Float32Array((await read(name)).buffer);
    const blocks = { bytes: await read("blocks"), offset: checkpoint.tensors.get("blocks")!.offset };
    const encoded = checkpoint.tensors.has("x") ? { x: await numbers("x"), bytes: await read("encoded") } : undefined;
    return { blocks, values: await numbers("values"), encoded };
  } finally {
    await checkpoint.close();
  }
}

/** Elements that differ in a bit; NaN is like any other NaN. */
function differences(got: ArrayLike<number>, expected: Float32Array) {
  return Array.from(expected, (value, i) => ({ i, value, got: got[i] })).filter(
    ({ value, got }) => !Object.is(got, value),
  );
}

it("has vectors for each block format that the engine computes with", () => {
  const files = readdirSync(fixture("blocks")).map((name) => name.split(".")[0]!.toLowerCase());
  expect(files.toSorted()).toEqual(FORMATS.toSorted());
});

describe.each(FORMATS)("%s", (format) => {
  it.each<Precision>(["f32", "f64"])("decodes to the bits of gguf's own decoder, in %s", async (precision) => {
    const { blocks, values } = await vectors(format);
    // At an odd address, and behind other numbers.
    const unaligned = concat(Uint8Array.of(9), blocks.bytes).subarray(1);
    const out = floatArray(precision, values.length + 3).fill(7);
    decodeRows(format, unaligned, out, 2);
    expect([out[0], out[1], out.at(-1)]).toEqual([7, 7, 7]);
    expect(differences(out.subarray(2, -1), values)).toEqual([]);
  });
});

// Nothing is registered where the engine was not built.
const addon = loadAddon();
if (addon !== undefined) {
  describe.each(addon.isas())("the native engine with %s", (isa) => {
    it.each(FORMATS)("decodes %s to the bits of gguf's own decoder", async (format) => {
      const { blocks, values } = await vectors(format);
      const { nElements, sizeBytes } = blockOf(format);
      const nRows = blocks.bytes.length / sizeBytes;
      const file = addon.mapFile(pathOf(format));
      const engine = new addon.Engine(1, isa);
      try {
        const segment = { file, offset: blocks.offset, rowBytes: sizeBytes, firstRow: 0, nRows };
        engine.bindWeight(format, nRows, nElements, [segment]);
        const given = step(
          values.length,
          Array.from({ length: nRows }, (_, row) => row),
        );
        await engine.run(compile(engine, lookUp(nRows, nElements)), given, new Int32Array(1));
        expect(differences(floats(given), values)).toEqual([]);
      } finally {
        await engine.close();
        file.close();
      }
    });
  });
}

describe.each(["q4_0", "q8_0"] as const)("encodeRows in %s", (format) => {
  it("rounds to the blocks of gguf's own encoder", async () => {
    const { encoded } = await vectors(format);
    expect(encodeRows(format, encoded!.x, "x")).toEqual(encoded!.bytes);
  });

  it.each([8.4e6, Number.POSITIVE_INFINITY, Number.NaN])("refuses %f, which it cannot hold", (number) => {
    const numbers = new Float32Array(64).fill(1);
    numbers[40] = number;
    const refusal = () => encodeRows(format, numbers, "t");
    expect(refusal).toThrow(RequestError);
    expect(refusal).toThrow(/t, from element 32 on: Q[48]_0 holds numbers up to (8|127) · 65504; got/);
  });
});

it("refuses to round numbers to formats that are only read", () => {
  const refusal = () => encodeRows("q4_k", new Float32Array(256), "t");
  expect(refusal).toThrow(RequestError);
  expect(refusal).toThrow(/t: numbers can be stored as f32, f16, bf16, q4_0, q8_0; got q4_k. Other formats/);
});
