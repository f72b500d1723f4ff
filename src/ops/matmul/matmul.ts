import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const matmul = defineOp<(x: Value, w: Value, bias?: Value) => Value>({
  name: "matmul",
  doc: "x · wᵀ + bias with w stored [out, in]: each output is one row of w times x, plus its bias.",
  signature: "x[..., k], w[n, k], bias?[n] -> [..., n]",
  matrices: ["w"],
  reference({ floats: { x, w, bias }, out, dims: { n, k } }) {
    for (let row = 0; row < out.length / n; row++) {
      for (let j = 0; j < n; j++) {
        let sum = bias === undefined ? 0 : bias[j];
        for (let i = 0; i < k; i++) sum += x[row * k + i] * w[j * k + i];
        out[row * n + j] = sum;
      }
    }
  },
  flops: ({ nOut, k }) => 2 * nOut * k,
  samples: [{ dims: { "...": 3, n: 4, k: 5 } }, { dims: { "...": 2, n: 6, k: 3 }, without: ["bias"] }],
});
