/**
 * Q8_0 of ggml: 32 consecutive elements of a row share a scale d; a block is d in f16 and 32 signed bytes q, 34 bytes in
 * all, and an element is d · q. Layout and rounding: `block_q8_0`, `quantize_row_q8_0_ref` in ggml.
 */
import { RequestError } from "../../errors.ts";
import type { FloatArray } from "../dtype.ts";

const BLOCK_ELEMENTS = 32;
const BLOCK_SIZE_BYTES = 34;

/** Decodes whole blocks into `out` from element `at` on; every value is exact in float32. */
export function decodeQ8_0(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES) {
    const scale = view.getFloat16(block, true);
    for (let i = 0; i < BLOCK_ELEMENTS; i++) out[at++] = scale * view.getInt8(block + 2 + i);
  }
}

/**
 * The blocks of whole rows, to the bit as ggml quantises them: d = max|x| / 127 in float32, q = x / d rounded, halves
 * away from zero.
 * @throws RequestError where a block's scale leaves f16: a value of more than 8.3 million, infinite, or no number.
 */
export function encodeQ8_0(values: Float32Array): Uint8Array<ArrayBuffer> {
  const nBlocks = values.length / BLOCK_ELEMENTS;
  const bytes = new Uint8Array(nBlocks * BLOCK_SIZE_BYTES);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < nBlocks; block++) {
    const x = values.subarray(block * BLOCK_ELEMENTS, (block + 1) * BLOCK_ELEMENTS);
    const scale = Math.fround(largestMagnitude(x) / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const at = block * BLOCK_SIZE_BYTES;
    view.setFloat16(at, scale, true);
    if (!Number.isFinite(view.getFloat16(at, true))) throw outOfRange(block * BLOCK_ELEMENTS, x);
    for (let i = 0; i < BLOCK_ELEMENTS; i++) view.setInt8(at + 2 + i, roundHalfAway(Math.fround(x[i] * inverse)));
  }
  return bytes;
}

/** NaN where there is one. */
function largestMagnitude(values: Float32Array): number {
  return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}

/** C's roundf, which Math.round is not: that one takes -2.5 to -2. */
function roundHalfAway(value: number): number {
  return Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
}

function outOfRange(at: number, block: Float32Array): RequestError {
  return new RequestError("request.option", {
    path: `elements ${at} to ${at + BLOCK_ELEMENTS - 1}`,
    expected: "Q8_0 holds numbers up to 127 · 65504",
    got: `${largestMagnitude(block)}`,
    remedy: "Store this tensor as f32, or look for what made its values so large.",
  });
}
