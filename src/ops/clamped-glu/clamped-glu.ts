import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

interface ClampedGluAttrs {
  limit: number;
  alpha: number;
}

export const clampedGlu = defineOp<(gate: Value, up: Value, attrs: ClampedGluAttrs) => Value, ClampedGluAttrs>({
  name: "clampedGlu",
  doc: "g · σ(alpha · g) · (u + 1) with g = min(gate, limit) and u = up within ±limit: the SwiGLU of gpt-oss (arXiv:2508.10925).",
  signature: "gate[...], up[...] -> [...]",
  attrs: { limit: "positive", alpha: "positive" },
  reference({ floats: { gate, up }, out, attrs: { limit, alpha } }) {
    for (let i = 0; i < out.length; i++) {
      const g = Math.min(gate[i], limit);
      const u = Math.min(limit, Math.max(-limit, up[i]));
      out[i] = (g / (1 + Math.exp(-alpha * g))) * (u + 1);
    }
  },
  flops: ({ nOut }) => 12 * nOut,
  samples: [{ dims: { "...": 9 }, attrs: { limit: 1, alpha: 1.702 } }],
});
