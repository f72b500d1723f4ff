import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const meanRows = defineOp<(x: Value) => Value>({
  name: "meanRows",
  doc: "Mean over all rows, element by element; NaN where there is no row.",
  signature: "x[n, ...] -> [1, ...]",
  reference({ floats: { x }, out, dims: { n } }) {
    const sums = new Float64Array(out.length);
    for (let i = 0; i < x.length; i++) sums[i % sums.length] += x[i];
    for (let i = 0; i < out.length; i++) out[i] = sums[i] / n;
  },
  flops: ({ n, nOut }) => n * nOut,
  samples: [{ dims: { n: 3, "...": 5 } }],
});
