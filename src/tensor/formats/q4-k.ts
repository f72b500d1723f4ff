/**
 * Q4_K of ggml: 256 elements in 8 groups of 32, each with a scale s and a minimum m of 6 bits; a block is in f16 d and
 * dmin, what s and m count in, 12 bytes of s and m (`k-scales.ts`), and 128 bytes of elements; an element is
 * d · s · q - dmin · m. Each 32 of the bytes hold two groups, the first in their low halves. Layout: `block_q4_K`.
 */
import type { FloatArray } from "../dtype.ts";
import { groupMinimum, groupScale } from "./k-scales.ts";

const BLOCK_ELEMENTS = 256;
const BLOCK_SIZE_BYTES = 144;
const SCALES = 4;
const QUANTS = 16;

/** Decodes whole blocks into `out` from element `at` on, each value rounded to float32. */
export function decodeQ4_K(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES) {
    const blockScale = view.getFloat16(block, true);
    const blockMinimum = view.getFloat16(block + 2, true);
    for (let group = 0; group < BLOCK_ELEMENTS / 32; group++) {
      const scale = blockScale * groupScale(bytes, block + SCALES, group);
      const minimum = blockMinimum * groupMinimum(bytes, block + SCALES, group);
      const from = block + QUANTS + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      for (let i = 0; i < 32; i++) out[to++] = Math.fround(scale * ((bytes[from + i] >> shift) & 15) - minimum);
    }
  }
}
