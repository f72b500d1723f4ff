/**
 * How the elements of a tensor are stored: one by one in a dtype, or in the blocks of one of ggml's quantised formats.
 * Each format that is computed with has its decoder in `formats/`.
 */
import { RequestError } from "../errors.ts";
import { bfloat16Of } from "./bfloat16.ts";
import { COMPUTE_DTYPES, DTYPE_SIZE_BYTES, type Dtype, decodeFloats, type FloatArray } from "./dtype.ts";
import { decodeIQ4_NL } from "./formats/iq4-nl.ts";
import { decodeIQ4_XS } from "./formats/iq4-xs.ts";
import { decodeMXFP4 } from "./formats/mxfp4.ts";
import { decodeQ2_K } from "./formats/q2-k.ts";
import { decodeQ3_K } from "./formats/q3-k.ts";
import { decodeQ4_0, encodeQ4_0 } from "./formats/q4-0.ts";
import { decodeQ4_1 } from "./formats/q4-1.ts";
import { decodeQ4_K } from "./formats/q4-k.ts";
import { decodeQ5_0 } from "./formats/q5-0.ts";
import { decodeQ5_1 } from "./formats/q5-1.ts";
import { decodeQ5_K } from "./formats/q5-k.ts";
import { decodeQ6_K } from "./formats/q6-k.ts";
import { decodeQ8_0, encodeQ8_0 } from "./formats/q8-0.ts";

/** ggml's quantised formats: so many consecutive elements of a row make a block of so many bytes (`ggml-common.h`). */
export const BLOCK_FORMATS = {
  q4_0: { nElements: 32, sizeBytes: 18 },
  q4_1: { nElements: 32, sizeBytes: 20 },
  q5_0: { nElements: 32, sizeBytes: 22 },
  q5_1: { nElements: 32, sizeBytes: 24 },
  q8_0: { nElements: 32, sizeBytes: 34 },
  q8_1: { nElements: 32, sizeBytes: 40 },
  q2_k: { nElements: 256, sizeBytes: 84 },
  q3_k: { nElements: 256, sizeBytes: 110 },
  q4_k: { nElements: 256, sizeBytes: 144 },
  q5_k: { nElements: 256, sizeBytes: 176 },
  q6_k: { nElements: 256, sizeBytes: 210 },
  q8_k: { nElements: 256, sizeBytes: 292 },
  iq1_s: { nElements: 256, sizeBytes: 50 },
  iq1_m: { nElements: 256, sizeBytes: 56 },
  iq2_xxs: { nElements: 256, sizeBytes: 66 },
  iq2_xs: { nElements: 256, sizeBytes: 74 },
  iq2_s: { nElements: 256, sizeBytes: 82 },
  iq3_xxs: { nElements: 256, sizeBytes: 98 },
  iq3_s: { nElements: 256, sizeBytes: 110 },
  iq4_nl: { nElements: 32, sizeBytes: 18 },
  iq4_xs: { nElements: 256, sizeBytes: 136 },
  tq1_0: { nElements: 256, sizeBytes: 54 },
  tq2_0: { nElements: 256, sizeBytes: 66 },
  mxfp4: { nElements: 32, sizeBytes: 17 },
  nvfp4: { nElements: 64, sizeBytes: 36 },
  q1_0: { nElements: 128, sizeBytes: 18 },
} as const;

export type BlockFormat = keyof typeof BLOCK_FORMATS;
export type Format = Dtype | BlockFormat;

type Decoder = (bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number) => void;

/** Block formats that the engine computes with. */
const DECODERS = {
  q8_0: decodeQ8_0,
  q4_0: decodeQ4_0,
  q4_1: decodeQ4_1,
  q5_0: decodeQ5_0,
  q5_1: decodeQ5_1,
  q2_k: decodeQ2_K,
  q3_k: decodeQ3_K,
  q4_k: decodeQ4_K,
  q5_k: decodeQ5_K,
  q6_k: decodeQ6_K,
  iq4_nl: decodeIQ4_NL,
  iq4_xs: decodeIQ4_XS,
  mxfp4: decodeMXFP4,
} as const satisfies Partial<Record<BlockFormat, Decoder>>;

type DecodedFormat = keyof typeof DECODERS;

/** The formats whose bytes alone give the numbers. */
export const PLAIN_FORMATS = [...COMPUTE_DTYPES, ...(Object.keys(DECODERS) as DecodedFormat[])] as const;
export type PlainFormat = (typeof PLAIN_FORMATS)[number];

/**
 * The formats whose scales lie in a tensor of their own: E4M3 with those of `formats/fp8-e4m3.ts`, and MXFP4 as
 * transformers splits it. Blocks as in BLOCK_FORMATS, without the scales.
 */
const SCALED_FORMATS = {
  f8_e4m3: { nElements: 1, sizeBytes: 1 },
  mxfp4_split: { nElements: 32, sizeBytes: 16 },
} as const;
export type ScaledFormat = keyof typeof SCALED_FORMATS;

/** The formats that the engine computes with, in the order of `Format` in native/src/format.h. */
export const COMPUTE_FORMATS = [...PLAIN_FORMATS, ...(Object.keys(SCALED_FORMATS) as ScaledFormat[])] as const;
export type ComputeFormat = (typeof COMPUTE_FORMATS)[number];

export function isPlainFormat(format: Format | ComputeFormat): format is PlainFormat {
  return (PLAIN_FORMATS as readonly string[]).includes(format);
}

export function isScaledFormat(format: Format | ComputeFormat): format is ScaledFormat {
  return Object.hasOwn(SCALED_FORMATS, format);
}

export function isBlockFormat(format: Format | ComputeFormat): format is BlockFormat {
  return Object.hasOwn(BLOCK_FORMATS, format);
}

/** Elements that are stored together, and their bytes; 1 where elements are stored one by one. */
export function blockOf(format: Format | ComputeFormat): { readonly nElements: number; readonly sizeBytes: number } {
  if (isScaledFormat(format)) return SCALED_FORMATS[format];
  return isBlockFormat(format) ? BLOCK_FORMATS[format] : { nElements: 1, sizeBytes: DTYPE_SIZE_BYTES[format] };
}

/**
 * Bytes of a dense tensor whose rows hold whole blocks; undefined where the product, taken from the left, leaves the
 * exact integers.
 */
export function tensorSizeBytes(shape: readonly number[], format: Format | ComputeFormat): number | undefined {
  const { nElements, sizeBytes } = blockOf(format);
  let product = sizeBytes;
  for (const [axis, size] of shape.entries()) {
    product *= axis === shape.length - 1 ? size / nElements : size;
    if (product > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return product;
}

/** Decodes whole rows into `out` from element `at` on; every value is one of float32. */
export function decodeRows(format: PlainFormat, bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  if (isBlockFormat(format)) DECODERS[format](bytes, out, at);
  else decodeFloats(format, bytes, out, at);
}

type Encoder = (values: Float32Array, path: string) => Uint8Array<ArrayBuffer>;

/** The formats that numbers can be rounded to. */
const ENCODERS: Partial<Record<PlainFormat, Encoder>> = {
  f32: (values) => new Uint8Array(values.slice().buffer),
  f16: (values) => new Uint8Array(Float16Array.from(values).buffer),
  bf16: (values) => new Uint8Array(bfloat16Of(values).buffer),
  q4_0: encodeQ4_0,
  q8_0: encodeQ8_0,
};

/**
 * The bytes of whole rows, rounded to the nearest value that the format can hold, as ggml does it; `path` names them in
 * errors.
 * @throws RequestError where golgi only reads the format.
 */
export function encodeRows(format: PlainFormat, values: Float32Array, path: string): Uint8Array<ArrayBuffer> {
  const encode = ENCODERS[format];
  if (encode !== undefined) return encode(values, path);
  throw new RequestError("request.option", {
    path,
    expected: `numbers can be stored as ${Object.keys(ENCODERS).join(", ")}`,
    got: format,
    remedy: "Other formats are only read.",
  });
}
