import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { decodeFloats, type FloatArray, floatArray, type Precision } from "../tensor/dtype.ts";
import { numel } from "../tensor/shape.ts";
import type { Binding } from "./bind.ts";

/** A weight's numbers, row-major in its declared shape; reads only the rows that it needs. */
export async function decodeWeight(
  binding: Binding,
  checkpoint: Checkpoint,
  precision: Precision,
): Promise<FloatArray> {
  const { tensor, dtype, rows, shape, transposed } = binding;
  const [from, to] = rows;
  if (!transposed) {
    const out = floatArray(precision, numel(shape));
    decodeFloats(dtype, await checkpoint.readRows(tensor, from, to - from), out, 0);
    return out;
  }
  const [nIn = 0, nOut = 0] = tensor.shape;
  const whole = floatArray(precision, nIn * nOut);
  decodeFloats(dtype, await checkpoint.read(tensor), whole, 0);
  const out = floatArray(precision, numel(shape));
  for (let row = from; row < to; row++) {
    for (let i = 0; i < nIn; i++) out[(row - from) * nIn + i] = whole[i * nOut + row];
  }
  return out;
}
