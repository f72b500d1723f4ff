/** Comparing tensors, cutting them up and putting them together. */

import { numel, sameShape } from "../../src/tensor/shape.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { isReference } from "./open.ts";
import { TOLERANCE } from "./tolerance.ts";

/**
 * The largest absolute difference of two elements. Equal infinities differ by 0; a NaN, another number of rows or
 * another number of elements are infinitely far. Trailing axes may be merged: [T, H, D] is compared with [T, H·D].
 */
export function deviation(actual: Tensor, expected: Tensor): number {
  if (actual.shape[0] !== expected.shape[0] || actual.data.length !== expected.data.length) return Infinity;
  let largest = 0;
  for (const [i, a] of actual.data.entries()) {
    const difference = a === expected.data[i] ? 0 : Math.abs(a - expected.data[i]);
    if (Number.isNaN(difference)) return Infinity;
    largest = Math.max(largest, difference);
  }
  return largest;
}

/** Whether two tensors have the same shape and the same numbers, to the last bit: 0 is not −0. */
export function sameBits(a: Tensor, b: Tensor): boolean {
  return sameShape(a.shape, b.shape) && a.data.every((value, i) => Object.is(value, b.data[i]));
}

/** Whether two tensors hold the same rows, computed in steps of other sizes; see TOLERANCE.rows. */
export function sameRows(a: Tensor, b: Tensor): boolean {
  return isReference ? sameBits(a, b) : deviation(a, b) <= TOLERANCE.rows;
}

/** The tensor with `at(...)` at each index. */
export function tensorOf(shape: readonly number[], at: (...index: number[]) => number): Tensor {
  const strides = shape.map((_, axis) => numel(shape.slice(axis + 1)));
  const index = (i: number) => strides.map((stride, axis) => Math.floor(i / stride) % shape[axis]);
  return new Tensor(
    shape,
    Float64Array.from({ length: numel(shape) }, (_, i) => at(...index(i))),
  );
}

/** Rows [from, to) of a point: of one laid out [nHeads, T, S], with the keys up to the last of them. */
export function rowsOf(tensor: Tensor, isOverKeys: boolean, from: number, to: number): Tensor {
  const [first, ...rest] = tensor.shape;
  if (!isOverKeys) return tensorOf([to - from, ...rest], (row, ...index) => tensor.at(from + row, ...index));
  return tensorOf([first, to - from, to], (head, row, key) => tensor.at(head, from + row, key));
}

/** [T, H, D] as [H, T, D]. */
export function headsFirst(tensor: Tensor): Tensor {
  const [nRows, nHeads, size] = tensor.shape;
  return tensorOf([nHeads, nRows, size], (head, row, i) => tensor.at(row, head, i));
}

/** Tensors with equally many rows, [T, ...] each, one beside the other: [T, sum of the rows' sizes]. */
export function sideBySide(tensors: readonly Tensor[]): Tensor {
  const nRows = tensors[0].shape[0];
  const rows = Array.from({ length: nRows }, (_, row) => tensors.flatMap((tensor) => [...tensor.row(row).data]));
  return new Tensor([nRows, rows[0].length], Float64Array.from(rows.flat()));
}

/** Tensors [T, H, ...], each head's numbers of all of them side by side: [1, T, H * sum of the heads' sizes]. */
export function headBesideHead(tensors: readonly Tensor[]): Tensor {
  const [nRows, nHeads] = tensors[0].shape;
  const row = (t: number, h: number): number[] => tensors.flatMap((tensor) => [...tensor.row(t, h).data]);
  const data = Array.from({ length: nRows * nHeads }, (_, i) => row(Math.floor(i / nHeads), i % nHeads)).flat();
  return new Tensor([1, nRows, data.length / nRows], Float64Array.from(data));
}

/**
 * What each row has for its experts, [T, A] or [T, A, n], in another order of slots: `wanted` [T, A] names the expert of
 * each, `chosen` [T, A] of those that the tensor has. NaN for an expert that was not chosen.
 */
export function inSlotsOf(wanted: Tensor, chosen: Tensor, tensor: Tensor): Tensor {
  const slot = (row: number, at: number): number => chosen.row(row).data.indexOf(wanted.at(row, at));
  return tensorOf(tensor.shape, (row, at, ...rest) =>
    slot(row, at) < 0 ? Number.NaN : tensor.at(row, slot(row, at), ...rest),
  );
}

/** Tensors [nRows, ...] one below the other. */
export function stacked(tensors: readonly Tensor[]): Tensor {
  const nRows = tensors.reduce((sum, tensor) => sum + tensor.shape[0], 0);
  return new Tensor([nRows, ...tensors[0].shape.slice(1)], Float64Array.from(tensors.flatMap(({ data }) => [...data])));
}
