import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

interface SoftCapAttrs {
  cap: number;
}

/** Keeps x within ±cap: nearly x where it is small. */
export function softCapped(x: number, cap: number): number {
  return cap * Math.tanh(x / cap);
}

export const softCap = defineOp<(x: Value, attrs: SoftCapAttrs) => Value, SoftCapAttrs>({
  name: "softCap",
  doc: "cap · tanh(x / cap), which keeps x within ±cap (Gemma 2, arXiv:2408.00118, §2).",
  signature: "x[...] -> [...]",
  attrs: { cap: "positive" },
  reference({ floats: { x }, out, attrs: { cap } }) {
    for (let i = 0; i < out.length; i++) out[i] = softCapped(x[i], cap);
  },
  flops: ({ nOut }) => 8 * nOut,
  samples: [{ dims: { "...": 9 }, attrs: { cap: 1.5 } }],
});
