import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const sum = defineOp<(x: Value) => Value>({
  name: "sum",
  doc: "Σ x over the last axis.",
  signature: "x[..., d] -> [...]",
  reference({ floats: { x }, out, dims: { d } }) {
    for (let row = 0; row < out.length; row++) {
      let total = 0;
      for (let i = row * d; i < (row + 1) * d; i++) total += x[i];
      out[row] = total;
    }
  },
  flops: ({ nOut, d }) => nOut * d,
  samples: [{ dims: { "...": 3, d: 5 } }],
});
