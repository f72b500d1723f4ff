/**
 * IQ4_NL of ggml: Q4_0 with a table. A block of 32 elements is a scale d in f16 and 16 bytes, halves as in Q4_0; an element
 * is d · table[q], with levels that lie closer together near zero. Layout and table: `block_iq4_nl`, `kvalues_iq4nl`.
 */
import type { FloatArray } from "../dtype.ts";

const BLOCK_ELEMENTS = 32;
const BLOCK_SIZE_BYTES = 18;
const QUANTS = 2;

export const IQ4_LEVELS = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** Decodes whole blocks into `out` from element `at` on; every value is exact in float32. */
export function decodeIQ4_NL(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES, to += BLOCK_ELEMENTS) {
    const scale = view.getFloat16(block, true);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[block + QUANTS + i];
      out[to + i] = scale * IQ4_LEVELS[pair & 15];
      out[to + 16 + i] = scale * IQ4_LEVELS[pair >> 4];
    }
  }
}
