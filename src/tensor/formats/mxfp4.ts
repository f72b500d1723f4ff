/**
 * MXFP4 (OCP Microscaling Formats 1.0) as ggml stores it: 32 consecutive elements of a row share a power of two; a block is
 * its exponent e, one byte, and 16 bytes, whose low halves are elements 0 to 15 and whose high halves are 16 to 31; an
 * element is 2^(e - 127) times a 4-bit float of one sign bit, two of exponent, one of mantissa. Layout: `block_mxfp4`.
 */
import type { FloatArray } from "../dtype.ts";

const BLOCK_ELEMENTS = 32;
const BLOCK_SIZE_BYTES = 17;
const QUANTS = 1;

/** Twice the 4-bit floats; both zeros are positive, as in ggml. */
const DOUBLES = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

/** Decodes whole blocks into `out` from element `at` on; what is too large for float32 is infinite. */
export function decodeMXFP4(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES, to += BLOCK_ELEMENTS) {
    const scale = 2 ** (bytes[block] - 128);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[block + QUANTS + i];
      out[to + i] = Math.fround(scale * DOUBLES[pair & 15]);
      out[to + 16 + i] = Math.fround(scale * DOUBLES[pair >> 4]);
    }
  }
}
