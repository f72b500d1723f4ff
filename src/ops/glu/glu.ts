import type { Value } from "../../tape/value.ts";
import { type ActivationFunction, activate } from "../activate/activate.ts";
import { defineOp } from "../define-op.ts";
import { mul } from "../mul/mul.ts";

interface GluAttrs {
  fn: ActivationFunction;
}

export const glu = defineOp<(gate: Value, up: Value, attrs: GluAttrs) => Value, GluAttrs>({
  name: "glu",
  doc: "Gated linear unit: fn(gate) · up; SwiGLU with silu, GeGLU with geluTanh (Shazeer 2020, arXiv:2002.05202).",
  signature: "gate[...], up[...] -> [...]",
  attrs: { fn: ["silu", "gelu", "geluTanh", "relu"] },
  decompose: ({ gate, up }, { fn }) => mul(activate(gate, { fn }), up),
  samples: [{ dims: { "...": 7 }, attrs: { fn: "silu" } }],
});
