/**
 * Q6_K of ggml: 256 elements in 16 groups of 16, each with a scale s of 8 bits; a block is 128 bytes of low halves, 64
 * bytes of the two highest bits, 16 signed bytes s, and in f16 d, what s counts in; an element is d · s · (q - 32). Each
 * half of the block, 4 times 32 elements, has 64 bytes of low halves (low ones for the first 64 elements, high ones for the
 * others) and 32 bytes of high bits (bits 0 and 1 for the first 32 elements, and so on). Layout: `block_q6_K`.
 */
import type { FloatArray } from "../dtype.ts";

const BLOCK_ELEMENTS = 256;
const BLOCK_SIZE_BYTES = 210;
const HIGH_BITS = 128;
const SCALES = 192;
const SCALE = 208;

/** Decodes whole blocks into `out` from element `at` on; every value is exact in float32. */
export function decodeQ6_K(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES) {
    const blockScale = view.getFloat16(block + SCALE, true);
    for (let group = 0; group < BLOCK_ELEMENTS / 16; group++) {
      const scale = blockScale * view.getInt8(block + SCALES + group);
      const [half, quarter, within] = [group >> 3, (group >> 1) & 3, 16 * (group & 1)];
      const low = block + 64 * half + 32 * (quarter & 1) + within;
      const high = block + HIGH_BITS + 32 * half + within;
      for (let i = 0; i < 16; i++) {
        const quant = ((bytes[low + i] >> (4 * (quarter >> 1))) & 15) | (((bytes[high + i] >> (2 * quarter)) & 3) << 4);
        out[to++] = scale * (quant - 32);
      }
    }
  }
}
