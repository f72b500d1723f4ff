import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const limitGroups = defineOp<(x: Value, mask?: Value) => Value>({
  name: "limitGroups",
  doc: "Scores of experts with −∞ in the groups whose mask is 0; the scores as they are where there is no mask.",
  signature: "x[T, n], mask?[T, nGroups] -> [T, n]",
  sizeError: ({ n, nGroups }) => (n % (nGroups ?? 1) > 0 ? "groups must be of one size" : undefined),
  reference({ floats: { x, mask }, out, dims: { n, nGroups } }) {
    const size = n / (nGroups ?? 1);
    // −∞ and not 0: scores may be negative.
    for (let i = 0; i < out.length; i++) {
      out[i] = mask !== undefined && mask[Math.floor(i / size)] === 0 ? Number.NEGATIVE_INFINITY : x[i];
    }
  },
  flops: () => 0,
  samples: [{ dims: { T: 2, n: 6, nGroups: 3 } }, { dims: { T: 2, n: 5, nGroups: 1 }, without: ["mask"] }],
});
