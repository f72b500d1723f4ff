import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const weighExperts = defineOp<(x: Value, weights: Value) => Value>({
  name: "weighExperts",
  doc: "What each chosen expert adds to the sum: its weight times its output.",
  signature: "x[T, A, n], weights[T, A] -> [T, A, n]",
  reference({ floats: { x, weights }, out, dims: { n } }) {
    for (let i = 0; i < out.length; i++) out[i] = weights[Math.floor(i / n)] * x[i];
  },
  flops: ({ nOut }) => nOut,
  samples: [{ dims: { T: 2, A: 3, n: 4 } }],
});
