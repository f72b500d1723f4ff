import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { largest } from "./largest.ts";

interface TopKAttrs {
  k: number;
}

export const topK = defineOp<(x: Value, attrs: TopKAttrs) => readonly [values: Value, indices: Value], TopKAttrs>({
  name: "topK",
  doc: "The k largest entries of the last axis in descending order, ties to the lowest index; k must not exceed the axis.",
  signature: "x[..., n] -> values[..., k], indices:int[..., k]",
  attrs: { k: "size" },
  sizeError: ({ k, n }) => (k > n ? `k = ${k} must not exceed the last axis` : undefined),
  reference({ floats: { x }, floatOuts: { values }, intOuts: { indices }, dims: { n }, attrs: { k } }) {
    for (let row = 0; row < values.length / k; row++) {
      largest(x.subarray(row * n, (row + 1) * n), k, (index, rank) => {
        values[row * k + rank] = x[row * n + index];
        indices[row * k + rank] = index;
      });
    }
  },
  flops: () => 0,
  samples: [{ dims: { "...": 3, n: 7 }, attrs: { k: 3 } }],
});
