import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const mulRows = defineOp<(x: Value, factor: Value) => Value>({
  name: "mulRows",
  doc: "x · factor, with one factor for each row.",
  signature: "x[..., d], factor[..., 1] -> [..., d]",
  reference({ floats: { x, factor }, out, dims: { d } }) {
    for (let i = 0; i < out.length; i++) out[i] = x[i] * factor[Math.floor(i / d)];
  },
  flops: ({ nOut }) => nOut,
  samples: [{ dims: { "...": 3, d: 5 } }],
});
