import type { StoredTensor } from "../checkpoint/checkpoint.ts";
import { tensorSizeBytes } from "../tensor/format.ts";
import type { Binding } from "./bind.ts";
import type { BoundPiece } from "./pieces.ts";

/** Rows of a weight that lie together in a file, for backends that read them there. */
export interface RowSegment {
  /** The tensor whose file it is. */
  readonly tensor: StoredTensor;
  /** Of the segment's first stored row, from the start of the file. */
  readonly offset: number;
  /** From one stored row to the next. */
  readonly rowBytes: number;
  /** Row of the weight that the segment begins with. */
  readonly firstRow: number;
  readonly nRows: number;
  /** Which stored row holds each row of the segment; in order where undefined. */
  readonly storedRows?: Int32Array;
  /** Of formats whose scales lie apart. */
  readonly scales?: SegmentScales;
}

/**
 * Where the scales of a segment's rows lie. Stored row r, which is `rowBytes` · r bytes behind the segment's first and
 * so, `step` being `rowBytes` over the bytes of one row, row `firstRow` + `step` · r of its matrix, has its own from byte
 * `offset` + ⌊(`firstRow` + `step` · r) / `rowsPerScale`⌋ · `rowBytes` on: for f8_e4m3 a float32 for each 128 columns,
 * for mxfp4_split an exponent byte for each 32.
 */
export interface SegmentScales {
  /** The tensor whose file it is. */
  readonly tensor: StoredTensor;
  /** Of the matrix's first scale, from the start of the file. */
  readonly offset: number;
  /** From one row of scales to the next. */
  readonly rowBytes: number;
  readonly rowsPerScale: number;
  /** Row of the matrix that the segment begins with. */
  readonly firstRow: number;
}

/** Whether a matrix's rows lie in its files as they are multiplied. Of any other a backend keeps a converted copy. */
export function isStoredByRows({ transposed, offset, rowLength, shape }: Binding): boolean {
  return !transposed && offset === 0 && rowLength === shape.at(-1);
}

/** Where the rows of a matrix lie, which `isStoredByRows`. */
export function rowSegments({ pieces, dtype, storedRows }: Binding): RowSegment[] {
  return pieces.map((piece) => {
    const { tensor, tensorRowLength, firstRow, nRows, from, step } = piece;
    // Pieces were checked against their tensors, whose sizes are safe integers.
    const rowBytes = tensorSizeBytes([tensorRowLength], dtype) as number;
    return {
      tensor,
      offset: tensor.offset + from * rowBytes,
      rowBytes: step * rowBytes,
      firstRow,
      nRows,
      storedRows,
      ...segmentScales(piece),
    };
  });
}

function segmentScales({ scales, from, matrixRow }: BoundPiece): Pick<RowSegment, "scales"> {
  if (scales === undefined) return {};
  const { tensor, nTensorRows, firstRow, rowsPerScale } = scales;
  const rowBytes = tensor.sizeBytes / nTensorRows;
  const offset = tensor.offset + firstRow * rowBytes;
  return { scales: { tensor, offset, rowBytes, rowsPerScale, firstRow: from - matrixRow } };
}
