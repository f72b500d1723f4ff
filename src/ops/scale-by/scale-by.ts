import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

interface ScaleByAttrs {
  factor: number;
}

export const scaleBy = defineOp<(x: Value, attrs: ScaleByAttrs) => Value, ScaleByAttrs>({
  name: "scaleBy",
  doc: "factor · x: embeddings that a family scales, weights of experts.",
  signature: "x[...] -> [...]",
  attrs: { factor: "real" },
  reference({ floats: { x }, out, attrs: { factor } }) {
    for (let i = 0; i < out.length; i++) out[i] = factor * x[i];
  },
  flops: ({ nOut }) => nOut,
  samples: [{ dims: { "...": 7 }, attrs: { factor: 2.5 } }],
});
