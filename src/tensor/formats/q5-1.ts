/**
 * Q5_1 of ggml: Q4_1 with a fifth bit. A block of 32 elements is a scale d and a minimum m in f16, 32 bits of which bit i
 * is the highest of element i, and 16 bytes of low bits as in Q4_1; an element is d · q + m. Layout: `block_q5_1`.
 */
import type { FloatArray } from "../dtype.ts";

const BLOCK_ELEMENTS = 32;
const BLOCK_SIZE_BYTES = 24;
const HIGH_BITS = 4;
const QUANTS = 8;

/** Decodes whole blocks into `out` from element `at` on, each value rounded to float32. */
export function decodeQ5_1(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES, to += BLOCK_ELEMENTS) {
    const scale = view.getFloat16(block, true);
    const minimum = view.getFloat16(block + 2, true);
    const high = view.getUint32(block + HIGH_BITS, true);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[block + QUANTS + i];
      out[to + i] = Math.fround(scale * ((pair & 15) | (((high >>> i) & 1) << 4)) + minimum);
      out[to + 16 + i] = Math.fround(scale * ((pair >> 4) | (((high >>> (16 + i)) & 1) << 4)) + minimum);
    }
  }
}
