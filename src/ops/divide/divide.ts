import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const divide = defineOp<(x: Value, divisor: Value) => Value>({
  name: "divide",
  doc: "x / divisor, with one divisor for each row.",
  signature: "x[..., d], divisor[..., 1] -> [..., d]",
  reference({ floats: { x, divisor }, out, dims: { d } }) {
    for (let i = 0; i < out.length; i++) out[i] = x[i] / divisor[Math.floor(i / d)];
  },
  flops: ({ nOut }) => nOut,
  samples: [{ dims: { "...": 3, d: 5 } }],
});
