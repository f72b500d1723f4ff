import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { erf } from "./erf.ts";

/** Activation functions by name; `gelu` is the exact one, `geluTanh` the approximation that GPT-2 and Gemma use. */
const FUNCTIONS = {
  silu: (x: number): number => x / (1 + Math.exp(-x)),
  gelu: (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  geluTanh: (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  relu: (x: number): number => (x < 0 ? 0 : x),
  sigmoid: (x: number): number => 1 / (1 + Math.exp(-x)),
};

export type ActivationFunction = keyof typeof FUNCTIONS;
export const ACTIVATION_FUNCTIONS = Object.keys(FUNCTIONS) as ActivationFunction[];

interface ActivateAttrs {
  fn: ActivationFunction;
}

export const activate = defineOp<(x: Value, attrs: ActivateAttrs) => Value, ActivateAttrs>({
  name: "activate",
  doc: "The activation function of each neuron (SiLU: arXiv:1702.03118; GELU: arXiv:1606.08415).",
  signature: "x[...] -> [...]",
  attrs: { fn: ACTIVATION_FUNCTIONS },
  reference({ floats: { x }, out, attrs: { fn } }) {
    const f = FUNCTIONS[fn];
    for (let i = 0; i < out.length; i++) out[i] = f(x[i]);
  },
  flops: ({ nOut }) => 8 * nOut,
  samples: ACTIVATION_FUNCTIONS.map((fn) => ({ dims: { "...": 9 }, attrs: { fn } })),
});
