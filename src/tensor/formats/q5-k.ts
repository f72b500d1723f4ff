/**
 * Q5_K of ggml: Q4_K with a fifth bit. A block of 256 elements has 32 more bytes before those of Q4_K's elements: bit j of
 * them is the highest of elements 32j to 32j + 31. Layout: `block_q5_K`.
 */
import type { FloatArray } from "../dtype.ts";
import { groupMinimum, groupScale } from "./k-scales.ts";

const BLOCK_ELEMENTS = 256;
const BLOCK_SIZE_BYTES = 176;
const SCALES = 4;
const HIGH_BITS = 16;
const QUANTS = 48;

/** Decodes whole blocks into `out` from element `at` on, each value rounded to float32. */
export function decodeQ5_K(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES) {
    const blockScale = view.getFloat16(block, true);
    const blockMinimum = view.getFloat16(block + 2, true);
    for (let group = 0; group < BLOCK_ELEMENTS / 32; group++) {
      const scale = blockScale * groupScale(bytes, block + SCALES, group);
      const minimum = blockMinimum * groupMinimum(bytes, block + SCALES, group);
      const high = block + HIGH_BITS;
      const low = block + QUANTS + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      for (let i = 0; i < 32; i++) {
        const quant = ((bytes[low + i] >> shift) & 15) | (((bytes[high + i] >> group) & 1) << 4);
        out[to++] = Math.fround(scale * quant - minimum);
      }
    }
  }
}
