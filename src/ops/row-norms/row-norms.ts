import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const rowNorms = defineOp<(w: Value) => Value>({
  name: "rowNorms",
  doc: "Euclidean length of each row of w, such as the input weights of every neuron.",
  signature: "w[n, k] -> [n]",
  matrices: ["w"],
  reference({ floats: { w }, out, dims: { n, k } }) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let i = 0; i < k; i++) sum += w[j * k + i] * w[j * k + i];
      out[j] = Math.sqrt(sum);
    }
  },
  flops: ({ n, k }) => 2 * n * k,
  samples: [{ dims: { n: 4, k: 5 } }],
});
