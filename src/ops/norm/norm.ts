import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const norm = defineOp<(x: Value) => Value>({
  name: "norm",
  doc: "Euclidean length √Σx² of each row.",
  signature: "x[..., d] -> [...]",
  reference({ floats: { x }, out, dims: { d } }) {
    for (let row = 0; row < out.length; row++) {
      let sum = 0;
      for (let i = row * d; i < (row + 1) * d; i++) sum += x[i] * x[i];
      out[row] = Math.sqrt(sum);
    }
  },
  flops: ({ nOut, d }) => 2 * nOut * d,
  samples: [{ dims: { "...": 3, d: 5 } }],
});
