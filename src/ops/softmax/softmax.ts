import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const softmax = defineOp<(x: Value) => Value>({
  name: "softmax",
  doc: "exp(x) / Σ exp(x) over the last axis.",
  signature: "x[..., n] -> [..., n]",
  reference({ floats: { x }, out, dims: { n } }) {
    for (let from = 0; from < out.length; from += n) {
      let max = Number.NEGATIVE_INFINITY;
      for (let i = from; i < from + n; i++) max = Math.max(max, x[i]);
      let sum = 0;
      for (let i = from; i < from + n; i++) sum += Math.exp(x[i] - max);
      for (let i = from; i < from + n; i++) out[i] = Math.exp(x[i] - max) / sum;
    }
  },
  flops: ({ nOut }) => 4 * nOut,
  samples: [{ dims: { "...": 3, n: 7 } }],
});
