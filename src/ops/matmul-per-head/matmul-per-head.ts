import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const matmulPerHead = defineOp<(z: Value, w: Value) => Value>({
  name: "matmulPerHead",
  doc: "What each head alone adds through the output projection: z of head h times columns [h·D, (h+1)·D) of w.",
  signature: "z[T, H, D], w[n, H*D] -> [T, H, n]",
  matrices: ["w"],
  reference({ floats: { z, w }, out, dims: { T, H, D, n } }) {
    for (let t = 0; t < T; t++) {
      for (let h = 0; h < H; h++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let i = 0; i < D; i++) sum += z[(t * H + h) * D + i] * w[(j * H + h) * D + i];
          out[(t * H + h) * n + j] = sum;
        }
      }
    }
  },
  flops: ({ nOut, D }) => 2 * nOut * D,
  samples: [{ dims: { T: 2, H: 3, D: 4, n: 5 } }],
});
