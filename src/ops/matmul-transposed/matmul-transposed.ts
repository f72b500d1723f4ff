import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const matmulTransposed = defineOp<(x: Value, w: Value) => Value>({
  name: "matmulTransposed",
  doc: "x · w with w stored [out, in]: a combination of the rows of w, so what a direction at the output of w is at its input.",
  signature: "x[..., n], w[n, k] -> [..., k]",
  matrices: ["w"],
  reference({ floats: { x, w }, out, dims: { n, k } }) {
    const sums = new Float64Array(k);
    for (let row = 0; row < out.length / k; row++) {
      sums.fill(0);
      for (let j = 0; j < n; j++) {
        for (let i = 0; i < k; i++) sums[i] += x[row * n + j] * w[j * k + i];
      }
      out.set(sums, row * k);
    }
  },
  flops: ({ nOut, n }) => 2 * nOut * n,
  samples: [{ dims: { "...": 3, n: 4, k: 5 } }],
});
