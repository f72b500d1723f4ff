/**
 * Q2_K of ggml: 256 elements in 16 groups of 16, each with a scale s and a minimum m of 4 bits; a block is 16 bytes of
 * them, s in the low half, 64 bytes of elements, and in f16 d and dmin, what s and m count in; an element is
 * d · s · q - dmin · m. Each half of the block has 32 of the 64 bytes: their bits 0 and 1 are its elements 0 to 31, bits 2
 * and 3 the next 32, and so on. Layout: `block_q2_K`.
 */
import type { FloatArray } from "../dtype.ts";

const BLOCK_ELEMENTS = 256;
const BLOCK_SIZE_BYTES = 84;
const QUANTS = 16;
const SCALE = 80;
const MINIMUM = 82;

/** Decodes whole blocks into `out` from element `at` on, each value rounded to float32. */
export function decodeQ2_K(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES) {
    const blockScale = view.getFloat16(block + SCALE, true);
    const blockMinimum = view.getFloat16(block + MINIMUM, true);
    for (let group = 0; group < BLOCK_ELEMENTS / 16; group++) {
      const scale = blockScale * (bytes[block + group] & 15);
      const minimum = blockMinimum * (bytes[block + group] >> 4);
      const from = block + QUANTS + 32 * (group >> 3) + 16 * (group & 1);
      const shift = 2 * ((group >> 1) & 3);
      for (let i = 0; i < 16; i++) out[to++] = Math.fround(scale * ((bytes[from + i] >> shift) & 3) - minimum);
    }
  }
}
