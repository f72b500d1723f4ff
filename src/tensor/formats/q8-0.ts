/**
 * Q8_0 of ggml: 32 consecutive elements of a row share a scale d; a block is d in f16 and 32 signed bytes q, 34 bytes in
 * all, and an element is d · q. Layout and rounding: `block_q8_0`, `quantize_row_q8_0_ref` in ggml.
 */
import type { FloatArray } from "../dtype.ts";
import { outOfRange } from "./out-of-range.ts";

const BLOCK_ELEMENTS = 32;
const BLOCK_SIZE_BYTES = 34;

/** Decodes whole blocks into `out` from element `at` on; every value is exact in float32. */
export function decodeQ8_0(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const { buffer, byteOffset, length } = bytes;
  const view = new DataView(buffer, byteOffset, length);
  const quants = new Int8Array(buffer, byteOffset, length);
  let to = at;
  for (let block = 0; block < length; block += BLOCK_SIZE_BYTES) {
    const scale = view.getFloat16(block, true);
    for (let from = block + 2; from < block + BLOCK_SIZE_BYTES; from++) out[to++] = scale * quants[from];
  }
}

/**
 * The blocks of whole rows, to the bit as ggml quantises them: d = max|x| / 127 in float32, q = x / d rounded, halves
 * away from zero. `path` names them in errors.
 * @throws RequestError where a block's scale leaves f16: a value of more than 8.3 million, infinite, or no number.
 */
export function encodeQ8_0(values: Float32Array, path: string): Uint8Array<ArrayBuffer> {
  const nBlocks = values.length / BLOCK_ELEMENTS;
  const bytes = new Uint8Array(nBlocks * BLOCK_SIZE_BYTES);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < nBlocks; block++) {
    const [from, to] = [block * BLOCK_ELEMENTS, block * BLOCK_SIZE_BYTES];
    const largest = largestMagnitude(values, from);
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    view.setFloat16(to, scale, true);
    if (!Number.isFinite(view.getFloat16(to, true))) {
      throw outOfRange(`${path}, from element ${from} on`, "Q8_0 holds numbers up to 127 · 65504", largest);
    }
    for (let i = 0; i < BLOCK_ELEMENTS; i++) {
      bytes[to + 2 + i] = roundHalfAway(Math.fround(values[from + i] * inverse));
    }
  }
  return bytes;
}

/** Of the block that begins with element `from`; NaN where it holds one. */
function largestMagnitude(values: Float32Array, from: number): number {
  let largest = 0;
  for (let i = from; i < from + BLOCK_ELEMENTS; i++) largest = Math.max(largest, Math.abs(values[i]));
  return largest;
}

/** C's roundf, which Math.round is not: that one takes -2.5 to -2. */
function roundHalfAway(value: number): number {
  return value < 0 ? -Math.floor(0.5 - value) : Math.floor(value + 0.5);
}
