import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { largest } from "../top-k/largest.ts";

interface TopMaskAttrs {
  k: number;
}

export const topMask = defineOp<(x: Value, attrs: TopMaskAttrs) => Value, TopMaskAttrs>({
  name: "topMask",
  doc: "1 at the k largest entries of each row, ties to the lowest index, and 0 elsewhere.",
  signature: "x[..., n] -> [..., n]",
  attrs: { k: "size" },
  sizeError: ({ k, n }) => (k > n ? `k = ${k} must not exceed the last axis` : undefined),
  reference({ floats: { x }, out, dims: { n }, attrs: { k } }) {
    out.fill(0);
    for (let from = 0; from < out.length; from += n) {
      largest(x.subarray(from, from + n), k, (index) => {
        out[from + index] = 1;
      });
    }
  },
  flops: () => 0,
  samples: [{ dims: { "...": 3, n: 5 }, attrs: { k: 2 } }],
});
