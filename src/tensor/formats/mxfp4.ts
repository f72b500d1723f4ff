/**
 * MXFP4 (OCP Microscaling Formats 1.0) as ggml stores it: 32 consecutive elements of a row share a power of two; a block is
 * its exponent e, one byte, and 16 bytes, whose low halves are elements 0 to 15 and whose high halves are 16 to 31; an
 * element is 2^(e - 127) times a 4-bit float of one sign bit, two of exponent, one of mantissa. Layout: `block_mxfp4`.
 */
import type { FloatArray } from "../dtype.ts";

/** Elements that share an exponent. */
export const MXFP4_BLOCK = 32;
const BLOCK_SIZE_BYTES = 17;
const QUANTS = 1;

/** Twice the 4-bit floats; both zeros are positive, as in ggml. */
const DOUBLES = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

/** Decodes whole blocks into `out` from element `at` on; what is too large for float32 is infinite. */
export function decodeMXFP4(bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  let to = at;
  for (let block = 0; block < bytes.length; block += BLOCK_SIZE_BYTES, to += MXFP4_BLOCK) {
    const scale = 2 ** (bytes[block] - 128);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[block + QUANTS + i];
      out[to + i] = Math.fround(scale * DOUBLES[pair & 15]);
      out[to + 16 + i] = Math.fround(scale * DOUBLES[pair >> 4]);
    }
  }
}

/**
 * As transformers stores it (`integrations/mxfp4.py`): exponents apart, one byte for each block, and of each byte of a
 * block the low half is the element before that in the high half. Decodes whole blocks like `decodeMXFP4`.
 */
export function decodeMXFP4Split(blocks: Uint8Array, exponents: Uint8Array, out: FloatArray, at: number): void {
  for (const [block, exponent] of exponents.entries()) {
    const scale = 2 ** (exponent - 128);
    for (let i = 0; i < 16; i++) {
      const pair = blocks[16 * block + i];
      const to = at + MXFP4_BLOCK * block + 2 * i;
      out[to] = Math.fround(scale * DOUBLES[pair & 15]);
      out[to + 1] = Math.fround(scale * DOUBLES[pair >> 4]);
    }
  }
}

/** The same blocks as `decodeMXFP4` takes them. */
export function joinMXFP4(blocks: Uint8Array, exponents: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(exponents.length * BLOCK_SIZE_BYTES);
  for (const [block, exponent] of exponents.entries()) {
    const at = block * BLOCK_SIZE_BYTES;
    out[at] = exponent;
    // Elements 2j and 2j + 1 of the pairs are in one byte; elements i and i + 16 are to be.
    for (let i = 0; i < 16; i++) {
      const half = (element: number): number => (blocks[16 * block + (element >> 1)] >> (4 * (element & 1))) & 15;
      out[at + QUANTS + i] = half(i) | (half(i + 16) << 4);
    }
  }
  return out;
}
