import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const takeAlong = defineOp<(x: Value, indices: Value) => Value>({
  name: "takeAlong",
  doc: "Of each row the entries at the row's own indices: the scores of the experts that it chose.",
  signature: "x[T, n], indices:int[T, k] -> [T, k]",
  reference({ floats: { x }, ints: { indices }, out, dims: { n, k } }) {
    for (let i = 0; i < out.length; i++) out[i] = x[Math.floor(i / k) * n + indices[i]];
  },
  flops: () => 0,
  samples: [{ dims: { T: 2, n: 4, k: 3 }, ints: { indices: [3, 0, 2, 1, 3, 0] } }],
});
