/**
 * Q5_0 of ggml: Q4_0 with a fifth bit. A block of 32 elements is a scale d in f16, 32 bits of which bit i is the highest
 * of element i, and 16 bytes of low bits as in Q4_0; an element is d · (q - 16). Layout: `block_q5_0`.
 */
import type { FloatArray } from "../dtype.ts";

const BLOCK_ELEMENTS = 32;
const BLOCK_SIZE_BYTES = 22;
const HIGH_BITS = 2;
const QUANTS = 6;

/** Decodes whole blocks into `out` from element `at` on; every value is exact in float32. */
export function decodeQ5_0(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES, to += BLOCK_ELEMENTS) {
    const scale = view.getFloat16(block, true);
    const high = view.getUint32(block + HIGH_BITS, true);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[block + QUANTS + i];
      out[to + i] = scale * (((pair & 15) | (((high >>> i) & 1) << 4)) - 16);
      out[to + 16 + i] = scale * (((pair >> 4) | (((high >>> (16 + i)) & 1) << 4)) - 16);
    }
  }
}
