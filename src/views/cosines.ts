import {
  add,
  columnNorms,
  divide,
  matmul,
  matmulTransposed,
  mergeHeads,
  mul,
  rowNorms,
  splitHeads,
} from "../ops/index.ts";
import { constant } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";

/** The component of a vector [1, k] along each row of w [n, k]: its length times their cosine, NaN along a row of zeros. */
export function alongRows(vector: Value, w: Value, n: number): Value {
  return overLengths(matmul(vector, w), rowNorms(w), n);
}

/** The component of a vector [1, k] along each column of w [k, n], as `alongRows`. */
export function alongColumns(vector: Value, w: Value, n: number): Value {
  return overLengths(matmulTransposed(vector, w), columnNorms(w), n);
}

/** Products [1, n], each over its length [n]. */
function overLengths(products: Value, lengths: Value, n: number): Value {
  const zeros = mul(products, constant("0", Float64Array.of(0), []));
  // `divide` has one divisor for each row, so each number becomes a row.
  const each = (row: Value): Value => splitHeads(row, { nHeads: n, headDim: 1 }); // [1, n, 1]
  return mergeHeads(divide(each(products), each(add(zeros, lengths)))); // [1, n]
}
