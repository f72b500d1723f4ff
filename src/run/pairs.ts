import type { VisibleKeys } from "../tape/rows.ts";
import type { FloatArray } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Consecutive rows of one sequence, and where their pairs lie in an array [nHeads, nPairs]. */
export interface PairRows {
  readonly firstRow: number;
  readonly nRows: number;
  /** Position of the first row. */
  readonly from: number;
  /** Of the first row, in the array. */
  readonly firstPair: number;
  readonly nHeads: number;
  readonly nPairs: number;
}

/** A value over visible (row, key) pairs as a dense [nHeads, nRows, S], with `invisible` at all other keys. */
export function spreadPairs(
  data: FloatArray,
  rows: PairRows,
  visible: VisibleKeys,
  invisible: number,
): Tensor<FloatArray> {
  const { nRows, from, nHeads } = rows;
  const nKeys = from + nRows;
  const dense = new (data.constructor as Float32ArrayConstructor)(nHeads * nRows * nKeys);
  dense.fill(invisible);
  eachRow(rows, visible, (head, i, pair, firstKey, nVisible) => {
    dense.set(data.subarray(pair, pair + nVisible), (head * nRows + i) * nKeys + firstKey);
  });
  return new Tensor<FloatArray>([nHeads, nRows, nKeys], dense);
}

/** The inverse of `spreadPairs`: what lies at visible keys goes back into `data`. */
export function gatherPairs(dense: Tensor, data: FloatArray, rows: PairRows, visible: VisibleKeys): void {
  const { nRows, from } = rows;
  const nKeys = from + nRows;
  eachRow(rows, visible, (head, i, pair, firstKey, nVisible) => {
    const at = (head * nRows + i) * nKeys + firstKey;
    data.set(dense.data.subarray(at, at + nVisible), pair);
  });
}

function eachRow(
  { firstRow, nRows, from, firstPair, nHeads, nPairs }: PairRows,
  { first }: VisibleKeys,
  visit: (head: number, i: number, pair: number, firstKey: number, nVisible: number) => void,
): void {
  let pair = firstPair;
  for (let i = 0; i < nRows; i++) {
    const firstKey = first[firstRow + i];
    const nVisible = from + i + 1 - firstKey;
    for (let head = 0; head < nHeads; head++) visit(head, i, head * nPairs + pair, firstKey, nVisible);
    pair += nVisible;
  }
}
