/**
 * Weights in formats whose scales lie apart: random codes, and random scales of a matrix that the stored rows are part
 * of. Always the same for the same sizes, with elements from about −4 to 4.
 */
import { blockOf, type ScaledFormat } from "../../src/tensor/format.ts";
import { decodeF8E4M3, FP8_BLOCK } from "../../src/tensor/formats/fp8-e4m3.ts";
import { decodeMXFP4Split, MXFP4_BLOCK } from "../../src/tensor/formats/mxfp4.ts";
import { randomFrom } from "../../test/op-support/random.ts";
import { segmentsOf } from "./layout.ts";

/** Rows of the matrix from one stored row to the next, in order and scattered. */
export const STEPS = { inOrder: 1, scattered: 2 };

/** Row of the matrix that each segment's first stored row is: two rows later other scales of E4M3 begin. */
const FIRST_ROW = 126;

/** As `bindWeight` of the native addon takes them. */
export interface StoredScales {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly rowBytes: number;
  readonly rowsPerScale: number;
  readonly firstRow: number;
}

export interface ScaledWeight {
  /** The codes of all rows, in order. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Of each segment. */
  readonly scales: readonly StoredScales[];
  readonly values: Float32Array;
}

export function scaledWeight(format: ScaledFormat, nRows: number, nCols: number, isScattered: boolean): ScaledWeight {
  const step = isScattered ? STEPS.scattered : STEPS.inOrder;
  const { nElements, sizeBytes } = blockOf(format);
  const rowBytes = (nCols / nElements) * sizeBytes;
  const bytes = randomCodes(format, nRows * rowBytes);
  const values = new Float32Array(nRows * nCols);
  const scales = segmentsOf(nRows, isScattered).map(({ from, to, storedRows }) => {
    const own = scalesOf(format, FIRST_ROW + step * (to - from - 1) + 1, nCols);
    for (let row = from; row < to; row++) {
      const matrixRow = FIRST_ROW + step * (storedRows?.[row - from] ?? row - from);
      const codes = bytes.subarray(row * rowBytes, (row + 1) * rowBytes);
      decodeOne(format, codes, own, matrixRow, values.subarray(row * nCols, (row + 1) * nCols));
    }
    return own;
  });
  return { bytes, scales, values };
}

/** None of them is a NaN. */
function randomCodes(format: ScaledFormat, sizeBytes: number): Uint8Array<ArrayBuffer> {
  const random = randomFrom(sizeBytes);
  const code =
    format === "f8_e4m3" ? () => Math.floor(127 * random()) + (random() < 0.5 ? 128 : 0) : () => 256 * random();
  return Uint8Array.from({ length: sizeBytes }, code);
}

/** For the first rows of the matrix. */
function scalesOf(format: ScaledFormat, nMatrixRows: number, nCols: number): StoredScales {
  const random = randomFrom(nCols);
  if (format === "mxfp4_split") {
    const rowBytes = nCols / MXFP4_BLOCK;
    // The exponent of two counts from 127, and the largest element is 6.
    const bytes = Uint8Array.from({ length: nMatrixRows * rowBytes }, () => 124 + 2 * random());
    return { bytes, rowBytes, rowsPerScale: 1, firstRow: FIRST_ROW };
  }
  const nScales = Math.ceil(nCols / FP8_BLOCK);
  const length = Math.ceil(nMatrixRows / FP8_BLOCK) * nScales;
  const { buffer } = Float32Array.from({ length }, () => (4 * random() - 2) / 448);
  return { bytes: new Uint8Array(buffer), rowBytes: 4 * nScales, rowsPerScale: FP8_BLOCK, firstRow: FIRST_ROW };
}

/** One row, which is row `matrixRow` of the matrix. */
function decodeOne(
  format: ScaledFormat,
  codes: Uint8Array<ArrayBuffer>,
  { bytes, rowBytes, rowsPerScale }: StoredScales,
  matrixRow: number,
  out: Float32Array,
): void {
  const begin = Math.floor(matrixRow / rowsPerScale) * rowBytes;
  const own = bytes.slice(begin, begin + rowBytes);
  if (format === "mxfp4_split") {
    decodeMXFP4Split(codes, own, out, 0);
  } else {
    const scales = new Float32Array(own.buffer);
    decodeF8E4M3({ codes, rowLength: out.length, firstRow: matrixRow, scales }, out, 0);
  }
}
