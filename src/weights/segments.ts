import type { Binding } from "./bind.ts";

/** Rows of a weight that lie together in a file, for backends that read them there. */
export interface RowSegment {
  /** Of the segment's first stored row, from the start of the file. */
  readonly offset: number;
  /** From one stored row to the next. */
  readonly rowBytes: number;
  /** Row of the weight that the segment begins with. */
  readonly firstRow: number;
  readonly nRows: number;
  /** Which stored row holds each row of the segment; in order where undefined. */
  readonly storedRows?: Int32Array;
}

/** Where the rows of a weight lie, which is not stored transposed. */
export function rowSegments({ tensor, shape, rows, rowSizeBytes: rowBytes, storedRows }: Binding): RowSegment[] {
  return [{ offset: tensor.offset + rows[0] * rowBytes, rowBytes, firstRow: 0, nRows: shape[0], storedRows }];
}
