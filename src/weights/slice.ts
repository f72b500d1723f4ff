import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { decodeRows } from "../tensor/format.ts";
import { numel } from "../tensor/shape.ts";
import type { Binding } from "./bind.ts";

/** A half-open range. */
export type Range = readonly [from: number, to: number];

/** Rows of a weight, as it is declared, and a range of each of them. */
export interface WeightSlice {
  readonly rows: Range;
  readonly columns: Range;
}

/** Where a slice lies in the stored tensor. */
export interface StoredSlice {
  readonly rows: Range;
  readonly columns: Range;
}

/** Numbers that are decoded at a time. */
const CHUNK_LENGTH = 2 ** 20;

/** Elements of one row: a vector's rows are single numbers. */
export function rowLength({ shape }: Pick<Binding, "shape">): number {
  return numel(shape.slice(1));
}

/** The stored rows and columns that a slice is spread over. */
export function storedSlice(binding: Binding, { rows, columns }: WeightSlice): StoredSlice {
  const {
    transposed,
    rows: [first],
  } = binding;
  if (transposed) return { rows: columns, columns: [first + rows[0], first + rows[1]] };
  const places = storedRows(binding, rows);
  return { rows: [places.reduce((a, b) => Math.min(a, b)), places.reduce((a, b) => Math.max(a, b)) + 1], columns };
}

/**
 * The numbers of a slice, row-major. Reads the stored rows that it touches and no others, and decodes a few megabytes of
 * them at a time: one column of a large weight takes the memory of one column.
 */
export async function decodeSlice(
  binding: Binding,
  checkpoint: Checkpoint,
  slice: WeightSlice,
): Promise<Float32Array<ArrayBuffer>> {
  const { tensor, dtype, transposed } = binding;
  const { rows, columns } = storedSlice(binding, slice);
  const width = numel(tensor.shape.slice(1));
  const [nRows, nColumns] = [slice.rows, slice.columns].map(([from, to]) => to - from);
  const out = new Float32Array(nRows * nColumns);
  // Row of the slice that each stored row holds.
  const rowOf = transposed ? undefined : new Map(storedRows(binding, slice.rows).map((stored, row) => [stored, row]));
  const nRowsAtOnce = Math.max(1, Math.floor(CHUNK_LENGTH / width));
  for (let from = rows[0]; from < rows[1]; from += nRowsAtOnce) {
    const n = Math.min(nRowsAtOnce, rows[1] - from);
    const chunk = new Float32Array(n * width);
    decodeRows(dtype, await checkpoint.readRows(tensor, from, n), chunk, 0);
    for (let i = 0; i < n; i++) {
      const stored = chunk.subarray(i * width + columns[0], i * width + columns[1]);
      if (rowOf === undefined) {
        for (const [row, value] of stored.entries()) out[row * nColumns + from + i - rows[0]] = value;
      } else {
        const row = rowOf.get(from + i);
        if (row !== undefined) out.set(stored, row * nColumns);
      }
    }
  }
  return out;
}

/** The stored row of each row of a weight that is not stored transposed. */
function storedRows({ rows: [first], storedRows: order }: Binding, [from, to]: Range): number[] {
  return Array.from({ length: to - from }, (_, i) => first + (order?.[from + i] ?? from + i));
}
