import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const columnNorms = defineOp<(w: Value) => Value>({
  name: "columnNorms",
  doc: "Euclidean length of each column of w, such as the output weights of every neuron.",
  signature: "w[n, k] -> [k]",
  matrices: ["w"],
  reference({ floats: { w }, out, dims: { n, k } }) {
    const sums = new Float64Array(k);
    for (let j = 0; j < n; j++) {
      for (let i = 0; i < k; i++) sums[i] += w[j * k + i] * w[j * k + i];
    }
    for (let i = 0; i < k; i++) out[i] = Math.sqrt(sums[i]);
  },
  flops: ({ n, k }) => 2 * n * k,
  samples: [{ dims: { n: 4, k: 5 } }],
});
