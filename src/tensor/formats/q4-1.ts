/**
 * Q4_1 of ggml: 32 consecutive elements of a row share a scale d and a minimum m; a block is d and m in f16 and 16 bytes,
 * whose low halves are elements 0 to 15 and whose high halves are 16 to 31; an element is d · q + m. Layout: `block_q4_1`.
 */
import type { FloatArray } from "../dtype.ts";

const BLOCK_ELEMENTS = 32;
const BLOCK_SIZE_BYTES = 20;
const QUANTS = 4;

/** Decodes whole blocks into `out` from element `at` on, each value rounded to float32. */
export function decodeQ4_1(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES, to += BLOCK_ELEMENTS) {
    const scale = view.getFloat16(block, true);
    const minimum = view.getFloat16(block + 2, true);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[block + QUANTS + i];
      out[to + i] = Math.fround(scale * (pair & 15) + minimum);
      out[to + 16 + i] = Math.fround(scale * (pair >> 4) + minimum);
    }
  }
}
