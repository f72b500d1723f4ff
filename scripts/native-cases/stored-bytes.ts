import {
  BLOCK_FORMATS,
  type BlockFormat,
  encodeRows,
  isBlockFormat,
  type PlainFormat,
} from "../../src/tensor/format.ts";
import { randomFrom } from "../../test/op-support/random.ts";

/**
 * Numbers as a format holds them. Blocks are random ones instead, since golgi does not round numbers to each block format:
 * always the same for the same count, with elements from about −4 to 4.
 */
export function storedBytes(format: PlainFormat, numbers: Float32Array): Uint8Array<ArrayBuffer> {
  return isBlockFormat(format) ? randomBlocks(format, numbers.length) : encodeRows(format, numbers, "weight");
}

function randomBlocks(format: keyof typeof SCALES, nElements: number): Uint8Array<ArrayBuffer> {
  const random = randomFrom(nElements);
  const { nElements: nPerBlock, sizeBytes } = BLOCK_FORMATS[format];
  const bytes = Uint8Array.from({ length: (nElements / nPerBlock) * sizeBytes }, () => 256 * random());
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < bytes.length; block += sizeBytes) {
    for (const [at, factor] of SCALES[format]) view.setFloat16(block + at, (4 * random() - 2) / factor, true);
    // The exponent of two counts from 127, and the largest element is 6.
    if (format === "mxfp4") bytes[block] = 124 + 2 * random();
  }
  return bytes;
}

type Scales = readonly (readonly [at: number, largestFactor: number])[];

/** Where a block has its binary16 scales, and what each is multiplied with at most. */
// biome-ignore format: a table
const SCALES = {
  q8_0: [[0, 128]],
  q4_0: [[0, 8]],
  q4_1: [[0, 15], [2, 1]],
  q5_0: [[0, 16]],
  q5_1: [[0, 31], [2, 1]],
  q2_k: [[80, 15 * 3], [82, 15]],
  q3_k: [[108, 32 * 4]],
  q4_k: [[0, 63 * 15], [2, 63]],
  q5_k: [[0, 63 * 31], [2, 63]],
  q6_k: [[208, 128 * 32]],
  iq4_nl: [[0, 127]],
  iq4_xs: [[0, 32 * 127]],
  mxfp4: [],
} as const satisfies Record<Extract<PlainFormat, BlockFormat>, Scales>;
