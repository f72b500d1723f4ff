/**
 * Q4_0 of ggml: 32 consecutive elements of a row share a scale d; a block is d in f16 and 16 bytes, whose low halves are
 * elements 0 to 15 and whose high halves are 16 to 31; an element is d · (q - 8). Layout and rounding: `block_q4_0`,
 * `quantize_row_q4_0_ref` in ggml.
 */
import type { FloatArray } from "../dtype.ts";
import { outOfRange } from "./out-of-range.ts";

const BLOCK_ELEMENTS = 32;
const BLOCK_SIZE_BYTES = 18;
const QUANTS = 2;

/** Decodes whole blocks into `out` from element `at` on; every value is exact in float32. */
export function decodeQ4_0(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES, to += BLOCK_ELEMENTS) {
    const scale = view.getFloat16(block, true);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[block + QUANTS + i];
      out[to + i] = scale * ((pair & 15) - 8);
      out[to + 16 + i] = scale * ((pair >> 4) - 8);
    }
  }
}

/**
 * The blocks of whole rows, to the bit as ggml quantises them: d = x / -8 in float32 for the x of largest magnitude, and
 * q = x / d + 8 rounded, halves up, at most 15. `path` names them in errors.
 * @throws RequestError where a block's scale leaves f16: a value of more than 524,000, infinite, or no number.
 */
export function encodeQ4_0(values: Float32Array, path: string): Uint8Array<ArrayBuffer> {
  const nBlocks = values.length / BLOCK_ELEMENTS;
  const bytes = new Uint8Array(nBlocks * BLOCK_SIZE_BYTES);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < nBlocks; block++) {
    const [from, to] = [block * BLOCK_ELEMENTS, block * BLOCK_SIZE_BYTES];
    const extreme = largestByMagnitude(values, from);
    const scale = Math.fround(extreme / -8);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    view.setFloat16(to, scale, true);
    if (!Number.isFinite(view.getFloat16(to, true))) {
      throw outOfRange(`${path}, from element ${from} on`, "Q4_0 holds numbers up to 8 · 65504", extreme);
    }
    for (let i = 0; i < 16; i++) {
      bytes[to + QUANTS + i] = quant(values[from + i], inverse) | (quant(values[from + 16 + i], inverse) << 4);
    }
  }
  return bytes;
}

/** Of the block that begins with element `from`, the first of several; NaN where it holds one. */
function largestByMagnitude(values: Float32Array, from: number): number {
  let largest = 0;
  for (let i = from; i < from + BLOCK_ELEMENTS; i++) {
    if (Number.isNaN(values[i])) return Number.NaN;
    if (Math.abs(values[i]) > Math.abs(largest)) largest = values[i];
  }
  return largest;
}

/** `| 0` rounds towards zero; it makes 0 of infinity, which is the inverse of a scale that is 0 in f16. */
function quant(value: number, inverse: number): number {
  return Math.min(15, Math.fround(Math.fround(value * inverse) + 8.5) | 0);
}
