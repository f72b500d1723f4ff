import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const center = defineOp<(x: Value) => Value>({
  name: "center",
  doc: "x − mean(x) over the last axis.",
  signature: "x[..., d] -> [..., d]",
  reference({ floats: { x }, out, dims: { d } }) {
    for (let from = 0; from < out.length; from += d) {
      let sum = 0;
      for (let i = 0; i < d; i++) sum += x[from + i];
      for (let i = 0; i < d; i++) out[from + i] = x[from + i] - sum / d;
    }
  },
  flops: ({ nOut }) => 2 * nOut,
  samples: [{ dims: { "...": 3, d: 5 } }],
});
