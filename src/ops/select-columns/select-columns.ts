import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const selectColumns = defineOp<(w: Value, indices: Value) => Value>({
  name: "selectColumns",
  doc: "Columns of w by index, as rows: column i of a down projection is what neuron i writes to the residual stream.",
  signature: "w[n, k], indices:int[R] -> [R, n]",
  matrices: ["w"],
  reference({ floats: { w }, ints: { indices }, out, dims: { n, k } }) {
    indices.forEach((index, r) => {
      for (let j = 0; j < n; j++) out[r * n + j] = w[j * k + index];
    });
  },
  flops: () => 0,
  reads: ({ nOut }) => ({ w: nOut }),
  samples: [{ dims: { n: 6, k: 4, R: 3 } }],
});
