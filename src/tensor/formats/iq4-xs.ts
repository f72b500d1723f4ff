/**
 * IQ4_XS of ggml: 256 elements in 8 groups of 32, each with a scale s of 6 bits; a block is in f16 d, what s counts in, 16
 * bits of which each two are the highest of an s, 4 bytes of whose halves each is the rest of one, and 16 bytes of
 * elements for each group, as in IQ4_NL; an element is d · (s - 32) · table[q]. Layout: `block_iq4_xs`.
 */
import type { FloatArray } from "../dtype.ts";
import { IQ4_LEVELS } from "./iq4-nl.ts";

const BLOCK_ELEMENTS = 256;
const BLOCK_SIZE_BYTES = 136;
const HIGH_SCALES = 2;
const LOW_SCALES = 4;
const QUANTS = 8;

/** Decodes whole blocks into `out` from element `at` on; every value is exact in float32. */
export function decodeIQ4_XS(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES) {
    const blockScale = view.getFloat16(block, true);
    const high = view.getUint16(block + HIGH_SCALES, true);
    for (let group = 0; group < BLOCK_ELEMENTS / 32; group++, to += 32) {
      const low = (bytes[block + LOW_SCALES + (group >> 1)] >> (4 * (group & 1))) & 15;
      const scale = blockScale * ((low | (((high >> (2 * group)) & 3) << 4)) - 32);
      const from = block + QUANTS + 16 * group;
      for (let i = 0; i < 16; i++) {
        out[to + i] = scale * IQ4_LEVELS[bytes[from + i] & 15];
        out[to + 16 + i] = scale * IQ4_LEVELS[bytes[from + i] >> 4];
      }
    }
  }
}
