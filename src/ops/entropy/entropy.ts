import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const entropy = defineOp<(x: Value) => Value>({
  name: "entropy",
  doc: "−Σ p ln p in nats, of the shares p = x / Σ x over the last axis. What is not above 0 has no share; NaN where nothing has one.",
  signature: "x[..., d] -> [...]",
  reference({ floats: { x }, out, dims: { d } }) {
    for (let row = 0; row < out.length; row++) {
      const [from, to] = [row * d, (row + 1) * d];
      let total = 0;
      for (let i = from; i < to; i++) if (x[i] > 0) total += x[i];
      let entropy = 0;
      for (let i = from; i < to; i++) if (x[i] > 0) entropy -= (x[i] / total) * Math.log(x[i] / total);
      out[row] = total > 0 ? entropy : Number.NaN;
    }
  },
  flops: ({ nOut, d }) => 12 * nOut * d,
  samples: [{ dims: { "...": 3, d: 5 } }],
});
