/** Weights of the native engine whose scales lie in a tensor of their own. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadAddon, type MappedFile, type NativeAddon, type NativeEngine } from "../node/native/addon.ts";
import { type DescribedTensor, layOutSafetensors } from "../src/checkpoint/write-safetensors.ts";
import { decodeF8E4M3 } from "../src/tensor/formats/fp8-e4m3.ts";
import { decodeMXFP4Split } from "../src/tensor/formats/mxfp4.ts";
import { concat } from "./checkpoint-files.ts";
import { compile, floats, lookUp, step } from "./native-support/programs.ts";
import { randomFrom } from "./op-support/random.ts";
import { fixture } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { deviation } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const folder = mkdtempSync(join(tmpdir(), "golgi-scales-"));

afterAll(() => rmSync(folder, { recursive: true, force: true }));

// Nothing is registered where the engine was not built.
const addon = loadAddon();
if (addon !== undefined) {
  describe.each(addon.isas())("scales that lie apart, with %s", (isa) => values(addon, isa));
  describe("scales that lie apart", () => {
    refusals(addon);
    model();
  });
}

/** A file of bytes, at an odd place in it. */
function mapped(on: NativeAddon, name: string, bytes: Uint8Array): MappedFile {
  writeFileSync(join(folder, name), concat(Uint8Array.of(9), bytes));
  return on.mapFile(join(folder, name));
}

/** Elements that differ in a bit; NaN is like any other NaN. */
function differences(got: ArrayLike<number>, expected: Float32Array) {
  return Array.from(expected, (value, i) => ({ i, value, got: got[i] })).filter(
    ({ value, got }) => !Object.is(got, value),
  );
}

function values(on: NativeAddon, isa: string): void {
  let engine: NativeEngine;

  beforeEach(() => {
    engine = new on.Engine(1, isa);
  });

  afterEach(() => engine.close());

  async function allRows(nRows: number, nCols: number): Promise<number[]> {
    const given = step(
      nRows * nCols,
      Array.from({ length: nRows }, (_, row) => row),
    );
    await engine.run(compile(engine, lookUp(nRows, nCols)), given, new Int32Array(1));
    return floats(given);
  }

  // Whole blocks of 128 columns and a part of one, and less than a vector.
  it.each([256, 300, 3])("make E4M3 of %i columns what the reference decodes, every code of it", async (nCols) => {
    const [nRows, firstRow] = [130, 127];
    const codes = Uint8Array.from({ length: nRows * nCols }, (_, i) => i + Math.floor(i / 256));
    const nScales = Math.ceil(nCols / 128);
    // Products that are too small for normal numbers, or too large for any; rows 127, 128 to 255, 256 share scales.
    const some = [1, -3, 1.1e-41, 3e38, 0.1, Number.POSITIVE_INFINITY];
    const scales = Float32Array.from({ length: 3 * nScales }, (_, i) => some[(i * 5) % some.length]);
    const place = { offset: 1, rowBytes: 4 * nScales, rowsPerScale: 128, firstRow };
    engine.bindWeight("f8_e4m3", nRows, nCols, [
      {
        file: mapped(on, `codes ${isa} ${nCols}`, codes),
        ...{ offset: 1, rowBytes: nCols, firstRow: 0, nRows },
        scales: { file: mapped(on, `scales ${isa} ${nCols}`, new Uint8Array(scales.buffer)), ...place },
      },
    ]);
    const expected = new Float32Array(nRows * nCols);
    decodeF8E4M3({ codes, rowLength: nCols, firstRow, scales }, expected, 0);
    expect(differences(await allRows(nRows, nCols), expected)).toEqual([]);
  });

  it("make MXFP4 what the reference decodes, every pair with every exponent", async () => {
    const [nRows, nCols] = [256, 512];
    const pairs = Uint8Array.from({ length: (nRows * nCols) / 2 }, (_, i) => i);
    const exponents = Uint8Array.from({ length: (nRows * nCols) / 32 }, (_, i) => Math.floor(i / 16));
    engine.bindWeight("mxfp4_split", nRows, nCols, [
      {
        file: mapped(on, `pairs ${isa}`, pairs),
        ...{ offset: 1, rowBytes: nCols / 2, firstRow: 0, nRows },
        scales: {
          file: mapped(on, `exponents ${isa}`, exponents),
          ...{ offset: 1, rowBytes: nCols / 32, rowsPerScale: 1, firstRow: 0 },
        },
      },
    ]);
    const expected = new Float32Array(nRows * nCols);
    decodeMXFP4Split(pairs, exponents, expected, 0);
    expect(differences(await allRows(nRows, nCols), expected)).toEqual([]);
  });

  it("belong to rows of a matrix, of which a segment may have every third from the middle of a block on", async () => {
    // 1.0 in all rows of the matrix; their scales are 0, 1, 2, 3 by groups of four.
    const codes = mapped(on, `ones ${isa}`, new Uint8Array(16).fill(0x38));
    const scales = mapped(on, `groups ${isa}`, new Uint8Array(Float32Array.of(0, 1, 2, 3).buffer));
    const place = { file: scales, offset: 1, rowBytes: 4, rowsPerScale: 4 };
    engine.bindWeight("f8_e4m3", 6, 1, [
      { file: codes, offset: 3, rowBytes: 3, firstRow: 0, nRows: 4, scales: { ...place, firstRow: 2 } },
      {
        ...{ file: codes, offset: 14, rowBytes: 1, firstRow: 4, nRows: 2, storedRows: Int32Array.of(2, 0) },
        scales: { ...place, firstRow: 3 },
      },
    ]);
    // Rows 2, 5, 8, 11 of the matrix, then 5, 3.
    expect(await allRows(6, 1)).toEqual([0, 1, 2, 2, 1, 0]);
  });
}

function refusals(on: NativeAddon): void {
  const engine = new on.Engine(1);
  const file = mapped(on, "refused", new Uint8Array(63));

  afterAll(() => engine.close());

  // Two rows of 200 columns, which have two scales.
  const codes = mapped(on, "refused codes", new Uint8Array(800));
  const scales = { file, offset: 0, rowBytes: 8, rowsPerScale: 128, firstRow: 0 };
  const segment = { file: codes, offset: 0, rowBytes: 200, firstRow: 0, nRows: 2, scales };

  const bind = (change: object, scalesChange: object = {}) => {
    const changed = { ...segment, scales: { ...scales, ...scalesChange }, ...change };
    return () => engine.bindWeight("f8_e4m3", 2, 200, [changed]);
  };

  it("may end with the file", () => {
    expect(bind({}, { firstRow: 7 * 128 + 126 })).not.toThrow();
    expect(bind({}, { offset: 56 })).not.toThrow();
  });

  it.each<[string, object, object, RegExp]>([
    ["that are not there", { scales: undefined }, {}, /f8_e4m3 needs the scales of its rows; got none/],
    [
      "beyond the file",
      {},
      { offset: 57 },
      /all scales must lie inside the file; got row of scales 0, 8 of 8 .* 57 of 64/,
    ],
    ["of a row beyond the file", {}, { firstRow: 8 * 128 - 1 }, /got row of scales 8, 8 of 8 bytes a row from byte 0/],
    [
      "of a stored row beyond the file",
      { storedRows: Int32Array.of(0, 3) },
      { rowsPerScale: 1, offset: 40 },
      /scales 3/,
    ],
    ["of strided rows beyond the file", { rowBytes: 600 }, { rowsPerScale: 1, offset: 40 }, /got row of scales 3/],
    ["behind the end of the file", {}, { offset: 1000 }, /all scales must lie inside/],
    ["far beyond the file", {}, { firstRow: 2 ** 31 - 1, rowsPerScale: 1 }, /all scales must lie inside/],
    ["that overlap", {}, { rowBytes: 7 }, /rows of scales must not overlap; got rows of 8 bytes, 7 bytes apart/],
    ["of no rows", {}, { rowsPerScale: 0 }, /share scales from row 0 of their matrix on; got row 0, 0 rows a scale/],
    ["of a row that no matrix has", {}, { firstRow: 2 ** 31 }, /got row 2147483648, 128 rows a scale/],
    ["of parts of rows", { rowBytes: 300 }, {}, /must lie whole rows apart; got rows of 200 bytes, 300 bytes apart/],
    ["at a negative offset", {}, { offset: -4 }, /offset must be from 0/],
    ["in what is no file", {}, { file: {} }, /must be a MappedFile/],
    ["in what is no object", { scales: 5 }, {}, /scales must be an object/],
  ])("are refused %s", (_, change, scalesChange, message) => {
    expect(bind(change, scalesChange)).toThrow(message);
  });

  it("are refused for formats that have none, and whose blocks a row cuts", () => {
    expect(() => engine.bindWeight("f32", 2, 50, [segment])).toThrow("f32 has no scales apart; got some");
    expect(() => engine.bindWeight("mxfp4_split", 2, 40, [segment])).toThrow(/mxfp4_split must be whole blocks of 32/);
  });
}

/** Of the architecture phi3, whose queries, keys and values are rows of one tensor, as gates and ups are. */
function model(): void {
  const sizes = { hidden_size: 160, intermediate_size: 150, num_attention_heads: 4, num_key_value_heads: 2 };

  it("give a model of E4M3 on the native engine the numbers that the reference has", async () => {
    const path = join(folder, "phi3");
    mkdirSync(path);
    const config = JSON.parse(readFileSync(fixture("goldens/phi3/config.json"), "utf8"));
    writeFileSync(join(path, "config.json"), JSON.stringify({ ...config, ...sizes }));
    writeFileSync(join(path, "model.safetensors"), randomFile(tensorsOf(config.num_hidden_layers, config.vocab_size)));
    const [native, reference] = [await open(path, { backend: "native" }), await open(path, { backend: "reference" })];
    const tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3];
    for (const prompt of [tokens, tokens.slice(0, 2)]) {
      const [run, expected] = [
        await native.run(prompt, { read: ["**"] }),
        await reference.run(prompt, { read: ["**"] }),
      ];
      const wrong = run.points.filter(
        (point) => !(deviation(run.get(point), expected.get(point)) <= TOLERANCE.official),
      );
      expect(wrong).toEqual([]);
    }
    await native.close();
    await reference.close();
  });

  function tensorsOf(nLayers: number, nTokens: number): DescribedTensor[] {
    const vector = (name: string): DescribedTensor => ({ name: `model.${name}.weight`, shape: [160], dtype: "f32" });
    const matrix = (name: string, nRows: number, nCols: number): DescribedTensor[] => {
      const shape = [nRows, nCols].map((size) => Math.ceil(size / 128));
      return [
        { name: `${name}.weight`, shape: [nRows, nCols], dtype: "f8_e4m3" },
        { name: `${name}.weight_scale_inv`, shape, dtype: "f32" },
      ];
    };
    const layer = (l: string): DescribedTensor[] => [
      ...[vector(`${l}.input_layernorm`), vector(`${l}.post_attention_layernorm`)],
      ...[...matrix(`model.${l}.self_attn.qkv_proj`, 320, 160), ...matrix(`model.${l}.self_attn.o_proj`, 160, 160)],
      ...[...matrix(`model.${l}.mlp.gate_up_proj`, 300, 160), ...matrix(`model.${l}.mlp.down_proj`, 160, 150)],
    ];
    return [
      ...[vector("norm"), ...matrix("model.embed_tokens", nTokens, 160), ...matrix("lm_head", nTokens, 160)],
      ...Array.from({ length: nLayers }, (_, i) => layer(`layers.${i}`)).flat(),
    ];
  }

  /** Codes that are no NaN, and scales such that weights are small. */
  function randomFile(tensors: readonly DescribedTensor[]): Uint8Array {
    const random = randomFrom(7);
    const { header, offsets, sizeBytes } = layOutSafetensors(tensors);
    const file = concat(header, new Uint8Array(sizeBytes - header.length));
    for (const { name, shape, dtype } of tensors) {
      const n = shape.reduce((product, size) => product * size, 1);
      const numbers =
        dtype === "f8_e4m3"
          ? Uint8Array.from({ length: n }, () => Math.floor(127 * random()) + (random() < 0.5 ? 128 : 0))
          : Float32Array.from({ length: n }, () => (0.5 + random()) / (shape.length > 1 ? 2000 : 1));
      file.set(new Uint8Array(numbers.buffer), offsets.get(name));
    }
    return file;
  }
}
