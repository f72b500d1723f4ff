import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

interface NormalizeSumAttrs {
  eps: number;
}

export const normalizeSum = defineOp<(x: Value, attrs: NormalizeSumAttrs) => Value, NormalizeSumAttrs>({
  name: "normalizeSum",
  doc: "x / (Σ x + eps) over the last axis: weights of chosen experts that are to add up to 1.",
  signature: "x[..., n] -> [..., n]",
  attrs: { eps: "real" },
  reference({ floats: { x }, out, dims: { n }, attrs: { eps } }) {
    for (let from = 0; from < out.length; from += n) {
      let total = eps;
      for (let i = from; i < from + n; i++) total += x[i];
      for (let i = from; i < from + n; i++) out[i] = x[i] / total;
    }
  },
  flops: ({ nOut }) => 2 * nOut,
  samples: [{ dims: { "...": 3, n: 4 }, attrs: { eps: 20 } }],
});
