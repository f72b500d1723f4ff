import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

interface RmsAttrs {
  eps: number;
}

export const rms = defineOp<(x: Value, attrs: RmsAttrs) => Value, RmsAttrs>({
  name: "rms",
  doc: "√(mean(x²) + eps) over the last axis, the divisor of a norm.",
  signature: "x[..., d] -> [..., 1]",
  attrs: { eps: "positive" },
  reference({ floats: { x }, out, dims: { d }, attrs: { eps } }) {
    for (let row = 0; row < out.length; row++) {
      let sum = 0;
      for (let i = row * d; i < (row + 1) * d; i++) sum += x[i] * x[i];
      out[row] = Math.sqrt(sum / d + eps);
    }
  },
  flops: ({ nOut, d }) => 2 * nOut * d,
  samples: [{ dims: { "...": 3, d: 5 }, attrs: { eps: 1e-5 } }],
});
