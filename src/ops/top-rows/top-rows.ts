import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { largest } from "../top-k/largest.ts";

interface TopRowsAttrs {
  k: number;
}

export const topRows = defineOp<(x: Value, attrs: TopRowsAttrs) => readonly [values: Value, rows: Value], TopRowsAttrs>(
  {
    name: "topRows",
    doc: "The k rows in which each column is largest, in descending order, ties to the first row, such as the tokens on which each neuron fires most. Where there are fewer rows, value −∞ and row −1.",
    signature: "x[n, m] -> values[k, m], rows:int[k, m]",
    attrs: { k: "size" },
    reference({ floats: { x }, floatOuts: { values }, intOuts: { rows }, dims: { n, m }, attrs: { k } }) {
      values.fill(Number.NEGATIVE_INFINITY);
      rows.fill(-1);
      const column = new Float64Array(n);
      for (let j = 0; j < m; j++) {
        for (let row = 0; row < n; row++) column[row] = x[row * m + j];
        largest(column, k, (row, rank) => {
          values[rank * m + j] = column[row];
          rows[rank * m + j] = row;
        });
      }
    },
    flops: () => 0,
    samples: [
      { dims: { n: 5, m: 3 }, attrs: { k: 2 } },
      { dims: { n: 2, m: 3 }, attrs: { k: 3 } },
    ],
  },
);
