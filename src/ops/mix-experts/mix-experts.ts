import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const mixExperts = defineOp<(x: Value, weights: Value) => Value>({
  name: "mixExperts",
  doc: "Σ over the chosen experts of weight · output, in the order of their slots.",
  signature: "x[T, A, n], weights[T, A] -> [T, n]",
  reference({ floats: { x, weights }, out, dims: { T, A, n } }) {
    for (let t = 0; t < T; t++) {
      for (let i = 0; i < n; i++) {
        let sum = 0;
        for (let a = 0; a < A; a++) sum += weights[t * A + a] * x[(t * A + a) * n + i];
        out[t * n + i] = sum;
      }
    }
  },
  flops: ({ nOut, A }) => 2 * nOut * A,
  samples: [{ dims: { T: 2, A: 3, n: 4 } }],
});
