import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { type FloatArray, floatArray, type Precision } from "../tensor/dtype.ts";
import { decodeRows } from "../tensor/format.ts";
import { numel } from "../tensor/shape.ts";
import type { Binding } from "./bind.ts";

/** A weight's numbers, row-major in its declared shape; reads only the rows that it needs. */
export async function decodeWeight(
  binding: Binding,
  checkpoint: Checkpoint,
  precision: Precision,
): Promise<FloatArray> {
  const { tensor, dtype, rows, shape, transposed, storedRows } = binding;
  if (transposed) return decodeColumns(binding, checkpoint, precision);
  const [from, to] = rows;
  const stored = floatArray(precision, numel(shape));
  decodeRows(dtype, await checkpoint.readRows(tensor, from, to - from), stored, 0);
  return storedRows === undefined ? stored : inOrder(stored, storedRows);
}

async function decodeColumns(
  { tensor, dtype, rows, shape }: Binding,
  checkpoint: Checkpoint,
  precision: Precision,
): Promise<FloatArray> {
  const [from, to] = rows;
  const [nIn = 0, nOut = 0] = tensor.shape;
  const whole = floatArray(precision, nIn * nOut);
  decodeRows(dtype, await checkpoint.read(tensor), whole, 0);
  const out = floatArray(precision, numel(shape));
  for (let row = from; row < to; row++) {
    for (let i = 0; i < nIn; i++) out[(row - from) * nIn + i] = whole[i * nOut + row];
  }
  return out;
}

/** Rows as the weight has them: row i is stored row `storedRows[i]`. */
function inOrder(stored: FloatArray, storedRows: Int32Array): FloatArray {
  const length = stored.length / storedRows.length;
  const out = stored.slice();
  for (const [row, from] of storedRows.entries()) {
    out.set(stored.subarray(from * length, (from + 1) * length), row * length);
  }
  return out;
}
