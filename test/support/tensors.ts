/** Comparing and cutting tensors. */

import type { Tensor } from "../../src/tensor/tensor.ts";

/**
 * The largest absolute difference of two elements. Equal infinities differ by 0; a NaN, another number of rows or
 * another number of elements count as infinitely far. Trailing axes may be merged: [T, H, D] is compared with [T, H·D].
 */
export function deviation(actual: Tensor, expected: Tensor): number {
  if (actual.shape[0] !== expected.shape[0] || actual.data.length !== expected.data.length) return Infinity;
  let largest = 0;
  for (const [i, a] of actual.data.entries()) {
    const b = expected.data[i];
    const difference = a === b ? 0 : Math.abs(a - b);
    if (Number.isNaN(difference)) return Infinity;
    largest = Math.max(largest, difference);
  }
  return largest;
}

/** Whether two tensors have the same shape and the same bits: 0 is not −0, and a NaN is itself. */
export function sameBits(a: Tensor, b: Tensor): boolean {
  return `${a.shape}` === `${b.shape}` && a.data.constructor === b.data.constructor && bytes(a).equals(bytes(b));
}

function bytes({ data }: Tensor): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** The tensor that has `at(...)` as its element at each index. */
export function tensorOf(like: Tensor, shape: readonly number[], at: (...index: number[]) => number): Tensor {
  const data = like.data.slice(0, 0).constructor as new (length: number) => Float32Array;
  const out = new data(shape.reduce((product, size) => product * size, 1));
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  for (let i = 0; i < out.length; i++) {
    out[i] = at(...strides.map((stride, axis) => Math.floor(i / stride) % shape[axis]));
  }
  return Object.assign(Object.create(Object.getPrototypeOf(like)), { shape, data: out });
}
