import { RequestError } from "../errors.ts";
import { ACTIVATION_FUNCTIONS, type ActivationFunction, activate } from "../ops/activate/activate.ts";
import { clampedGlu } from "../ops/index.ts";
import type { Model } from "../run/model.ts";
import { constant } from "../tape/builder.ts";
import { isLeaf, type Value } from "../tape/value.ts";
import { type NeuronPart, ofPart } from "./neuron-part.ts";

/** How a neuron's value follows from its sums: fn(pre), times preLinear where it is gated; or clamped as in gpt-oss. */
export type NeuronActivation =
  | { readonly kind: "plain"; readonly fn: ActivationFunction }
  | { readonly kind: "clamped"; readonly limit: number; readonly alpha: number };

/** As the model's own tape has it. */
export function activationOf(model: Pick<Model, "tape" | "architecture">, part: NeuronPart): NeuronActivation {
  const from = model.tape.points.get(ofPart(part, "post"))?.from;
  const { fn: name, limit, alpha } = from === undefined || isLeaf(from) ? {} : from.attrs;
  const fn = ACTIVATION_FUNCTIONS.find((known) => known === name);
  if (fn !== undefined) return { kind: "plain", fn };
  if (typeof limit === "number" && typeof alpha === "number") return { kind: "clamped", limit, alpha };
  throw new RequestError("request.option", {
    path: "explain: address",
    expected: "a neuron is explained as fn(gate) · up, or fn(up)",
    got: `another way from its sums to its value in the family ${model.architecture}`,
  });
}

/** What the sum of the first branch becomes. [n] -> [n] */
export function activated(activation: NeuronActivation, pre: Value): Value {
  if (activation.kind === "plain") return activate(pre, { fn: activation.fn });
  const { limit, alpha } = activation;
  // Multiplied with up + 1, which is 1 here.
  return clampedGlu(pre, constant("0", new Float64Array(1), [1]), { limit, alpha });
}

/** What the sum of the other branch is as a factor. */
export function factorOf(activation: NeuronActivation, preLinear: number): number {
  if (activation.kind === "plain") return preLinear;
  return Math.min(activation.limit, Math.max(-activation.limit, preLinear)) + 1;
}

/** How it is called. */
export function activationName(activation: NeuronActivation): string {
  return activation.kind === "plain" ? activation.fn : `swish clamped at ${activation.limit}`;
}
