import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const matmulIndexed = defineOp<(x: Value, w: Value, indices: Value, bias?: Value) => Value>({
  name: "matmulIndexed",
  doc: "For each slot of each row x · wₑᵀ + biasₑ with the matrix and bias of the slot's own expert e = indices[t, a]; all slots of a row share x where s is 1. Only matrices that some slot names are read.",
  signature: "x[T, s, k], w[E, n, k], indices:int[T, A], bias?[E, n] -> [T, A, n]",
  matrices: ["w"],
  sizeError: ({ s, A }) => (s !== 1 && s !== A ? "x has one row for all slots or one for each" : undefined),
  reference({ floats: { x, w, bias }, ints: { indices }, out, dims: { T, s, k, n, A } }) {
    for (let t = 0; t < T; t++) {
      for (let a = 0; a < A; a++) {
        const expert = indices[t * A + a];
        const xAt = (t * s + (s === 1 ? 0 : a)) * k;
        for (let j = 0; j < n; j++) {
          let sum = bias === undefined ? 0 : bias[expert * n + j];
          const wAt = (expert * n + j) * k;
          for (let i = 0; i < k; i++) sum += x[xAt + i] * w[wAt + i];
          out[(t * A + a) * n + j] = sum;
        }
      }
    }
  },
  flops: ({ nOut, k }) => 2 * nOut * k,
  // At most; rows that share an expert read its matrix once.
  reads: ({ nOut, k, n, E }) => ({ w: Math.min(nOut, E * n) * k }),
  samples: [
    { dims: { T: 3, s: 1, A: 2, E: 4, n: 5, k: 6 }, ints: { indices: [3, 0, 0, 2, 3, 2] } },
    { dims: { T: 2, s: 3, A: 3, E: 3, n: 4, k: 5 }, ints: { indices: [2, 1, 0, 1, 0, 2] }, without: ["bias"] },
  ],
});
