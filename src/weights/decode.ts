import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { type FloatArray, floatArray, type Precision } from "../tensor/dtype.ts";
import { numel } from "../tensor/shape.ts";
import type { Binding } from "./bind.ts";
import { boundSlices, numbersIn, type PiecePart, partsOf, type Range, type WeightSlice, wholeSlice } from "./slice.ts";
import { decodeStoredRows } from "./stored-rows.ts";

/** Numbers that are decoded at a time. */
const CHUNK_LENGTH = 2 ** 20;

/** A weight's numbers, row-major in its declared shape; reads only the rows that it needs. */
export async function decodeWeight(
  binding: Binding,
  checkpoint: Checkpoint,
  precision: Precision,
): Promise<FloatArray> {
  const out = floatArray(precision, numel(binding.shape));
  await decodeInto(binding, checkpoint, wholeSlice(binding), out);
  return out;
}

/**
 * The numbers of a slice, row-major. Reads the stored rows that it touches and those between them, and decodes a few
 * megabytes of them at a time: one column of a large weight takes the memory of one column.
 */
export async function decodeSlice(
  binding: Binding,
  checkpoint: Checkpoint,
  slice: WeightSlice,
): Promise<Float32Array<ArrayBuffer>> {
  const out = new Float32Array(lengthOf(slice));
  await decodeInto(binding, checkpoint, slice, out);
  return out;
}

async function decodeInto(binding: Binding, checkpoint: Checkpoint, slice: WeightSlice, out: FloatArray) {
  const decode = binding.transposed ? decodeColumns : decodeRowsOf;
  let at = 0;
  for (const { rows, columns } of boundSlices(binding, slice)) {
    for (const part of partsOf(binding, numbersIn(rows))) {
      const length = part.places.length * (columns[1] - columns[0]);
      await decode(binding, checkpoint, part, columns, out.subarray(at, at + length));
      at += length;
    }
  }
  if (binding.offset === 0) return;
  for (let i = 0; i < out.length; i++) out[i] = Math.fround(out[i] + binding.offset);
}

function lengthOf({ rows, columns }: WeightSlice): number {
  return (rows[1] - rows[0]) * (columns[1] - columns[0]);
}

/** Rows of a weight that are rows of the tensor. */
async function decodeRowsOf(
  { dtype }: Binding,
  checkpoint: Checkpoint,
  { piece, places }: PiecePart,
  columns: Range,
  out: FloatArray,
): Promise<void> {
  const width = piece.tensorRowLength;
  const nColumns = columns[1] - columns[0];
  const first = places.reduce((a, b) => Math.min(a, b));
  const end = places.reduce((a, b) => Math.max(a, b)) + 1;
  const isInOrder = places.every((place, i) => place === first + i);
  // Which of the wanted rows each stored one is.
  const rowOf = new Int32Array(isInOrder ? 0 : end - first).fill(-1);
  if (!isInOrder) for (const [row, place] of places.entries()) rowOf[place - first] = row;
  for (const { from, n } of chunks(first, end, width)) {
    if (isInOrder && nColumns === width) {
      await decodeStoredRows(dtype, piece, checkpoint, { from, n }, out, (from - first) * width);
      continue;
    }
    const chunk = new Float32Array(n * width);
    await decodeStoredRows(dtype, piece, checkpoint, { from, n }, chunk, 0);
    for (let i = 0; i < n; i++) {
      const row = isInOrder ? from - first + i : rowOf[from - first + i];
      if (row >= 0) out.set(chunk.subarray(i * width + columns[0], i * width + columns[1]), row * nColumns);
    }
  }
}

/** Rows of a weight that are columns of a matrix. */
async function decodeColumns(
  { dtype }: Binding,
  checkpoint: Checkpoint,
  { piece, places }: PiecePart,
  columns: Range,
  out: FloatArray,
): Promise<void> {
  const width = piece.tensorRowLength;
  const nColumns = columns[1] - columns[0];
  const first = piece.matrixRow + columns[0];
  for (const { from, n } of chunks(first, piece.matrixRow + columns[1], width)) {
    const chunk = new Float32Array(n * width);
    await decodeStoredRows(dtype, piece, checkpoint, { from, n }, chunk, 0);
    for (const [row, place] of places.entries()) {
      for (let i = 0; i < n; i++) out[row * nColumns + from - first + i] = chunk[i * width + place];
    }
  }
}

/** Rows `first` to `end - 1`, a few megabytes at a time. */
function* chunks(first: number, end: number, rowLength: number): Generator<{ from: number; n: number }> {
  const nAtOnce = Math.max(1, Math.floor(CHUNK_LENGTH / rowLength));
  for (let from = first; from < end; from += nAtOnce) yield { from, n: Math.min(nAtOnce, end - from) };
}
