/**
 * E4M3 of the OCP 8-bit floating point specification, as safetensors' F8_E4M3: one sign bit, four of exponent with bias 7,
 * three of mantissa; subnormal numbers, two NaNs, no infinities; the largest number is 448. Weights are stored in it as
 * DeepSeek-V3 does (arXiv:2412.19437, `weight_dequant` of its inference code): each number is multiplied by the scale of
 * its block of 128 rows and 128 columns.
 */
import type { FloatArray } from "../dtype.ts";

/** Rows, and columns, that share a scale. */
export const FP8_BLOCK = 128;

const NUMBERS = Float32Array.from({ length: 256 }, (_, code) => numberOf(code));

function numberOf(code: number): number {
  const sign = code < 128 ? 1 : -1;
  const [exponent, mantissa] = [(code >> 3) & 15, code & 7];
  if (exponent === 15 && mantissa === 7) return Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** -9;
  return sign * (8 + mantissa) * 2 ** (exponent - 10);
}

/** Rows of a tensor and the scales that belong to them. */
export interface Fp8Rows {
  readonly codes: Uint8Array;
  /** Columns. */
  readonly rowLength: number;
  /** Row of its matrix that `codes` begin with. */
  readonly firstRow: number;
  /** [rows of blocks, ⌈rowLength / 128⌉], from the block row that holds `firstRow` on. */
  readonly scales: Float32Array;
}

/** Decodes whole rows into `out` from element `at` on; each product is rounded to float32. */
export function decodeF8E4M3({ codes, rowLength, firstRow, scales }: Fp8Rows, out: FloatArray, at: number): void {
  const nScales = Math.ceil(rowLength / FP8_BLOCK);
  const firstBlock = Math.floor(firstRow / FP8_BLOCK);
  const nRows = codes.length / rowLength;
  for (let row = 0; row < nRows; row++) {
    const scalesAt = (Math.floor((firstRow + row) / FP8_BLOCK) - firstBlock) * nScales;
    const rowAt = row * rowLength;
    for (let i = 0; i < rowLength; i++) {
      const scale = scales[scalesAt + Math.floor(i / FP8_BLOCK)];
      out[at + rowAt + i] = Math.fround(NUMBERS[codes[rowAt + i]] * scale);
    }
  }
}
