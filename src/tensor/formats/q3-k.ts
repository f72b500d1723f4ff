/**
 * Q3_K of ggml: 256 elements in 16 groups of 16, each with a scale s of 6 bits; a block is 32 bytes of highest bits, 64
 * bytes of the two others, 12 bytes of scales, and in f16 d, what s counts in; an element is d · (s - 32) · (q - 4). Low
 * bits lie as in Q2_K; bit j of the 32 bytes belongs to elements 32j to 32j + 31. Layout: `block_q3_K`.
 */
import type { FloatArray } from "../dtype.ts";

const BLOCK_ELEMENTS = 256;
const BLOCK_SIZE_BYTES = 110;
const QUANTS = 32;
const SCALES = 96;
const SCALE = 108;

/** Decodes whole blocks into `out` from element `at` on; every value is exact in float32. */
export function decodeQ3_K(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES) {
    const blockScale = view.getFloat16(block + SCALE, true);
    for (let group = 0; group < BLOCK_ELEMENTS / 16; group++) {
      const scale = blockScale * (groupScale(bytes, block + SCALES, group) - 32);
      const high = block + 16 * (group & 1);
      const low = block + QUANTS + 32 * (group >> 3) + 16 * (group & 1);
      const shift = 2 * ((group >> 1) & 3);
      for (let i = 0; i < 16; i++) {
        const quant = ((bytes[low + i] >> shift) & 3) | (((bytes[high + i] >> (group >> 1)) & 1) << 2);
        out[to++] = scale * (quant - 4);
      }
    }
  }
}

/** Its low 4 bits are half of one of the first 8 bytes, its high 2 bits a quarter of one of the last 4. */
function groupScale(bytes: Uint8Array, scales: number, group: number): number {
  const low = (bytes[scales + (group & 7)] >> (4 * (group >> 3))) & 15;
  const high = (bytes[scales + 8 + (group & 3)] >> (2 * (group >> 2))) & 3;
  return low | (high << 4);
}
