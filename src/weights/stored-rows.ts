import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { decodeFloats, type FloatArray } from "../tensor/dtype.ts";
import { type ComputeFormat, decodeRows, isScaledFormat } from "../tensor/format.ts";
import { decodeF8E4M3 } from "../tensor/formats/fp8-e4m3.ts";
import { decodeMXFP4Split } from "../tensor/formats/mxfp4.ts";
import type { BoundPiece, Scales } from "./pieces.ts";

/** Rows `from` to `from + n - 1` of a tensor, which is seen as rows of its last axis. */
export interface StoredRange {
  readonly from: number;
  readonly n: number;
}

/** The bytes of rows of a piece's tensor. */
export function readStoredRows(
  { tensor, nTensorRows }: BoundPiece,
  checkpoint: Checkpoint,
  { from, n }: StoredRange,
): Promise<Uint8Array<ArrayBuffer>> {
  return checkpoint.readRows({ ...tensor, shape: [nTensorRows] }, from, n);
}

/** The bytes of the scales of these rows, where a format has them apart. */
export function readStoredScales(
  { scales, matrixRow }: BoundPiece,
  checkpoint: Checkpoint,
  { from, n }: StoredRange,
): Promise<Uint8Array<ArrayBuffer>> {
  const { tensor, nTensorRows, firstRow, rowsPerScale } = scales as Scales;
  const first = Math.floor((from - matrixRow) / rowsPerScale);
  const end = Math.ceil((from - matrixRow + n) / rowsPerScale);
  return checkpoint.readRows({ ...tensor, shape: [nTensorRows] }, firstRow + first, end - first);
}

/** The numbers of these rows, into `out` from element `at` on. */
export async function decodeStoredRows(
  dtype: ComputeFormat,
  piece: BoundPiece,
  checkpoint: Checkpoint,
  range: StoredRange,
  out: FloatArray,
  at: number,
): Promise<void> {
  const bytes = await readStoredRows(piece, checkpoint, range);
  if (!isScaledFormat(dtype)) return decodeRows(dtype, bytes, out, at);
  const scaleBytes = await readStoredScales(piece, checkpoint, range);
  if (dtype === "mxfp4_split") return decodeMXFP4Split(bytes, scaleBytes, out, at);
  const scales = new Float32Array(scaleBytes.length / 4);
  decodeFloats("f32", scaleBytes, scales, 0);
  const { tensorRowLength: rowLength, matrixRow } = piece;
  decodeF8E4M3({ codes: bytes, rowLength, firstRow: range.from - matrixRow, scales }, out, at);
}
