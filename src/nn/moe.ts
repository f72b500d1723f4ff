import type { ActivationFunction } from "../ops/activate/activate.ts";
import { activate, add, glu, matmul, matmulIndexed, mixExperts, mulRows, splitHeads } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { groupName } from "../weights/schema.ts";
import { type GatedMlpWeights, gatedNeurons } from "./mlp.ts";
import type { Routing } from "./routers.ts";

/** All experts of a layer, one behind another. */
export interface ExpertsWeights {
  /** [nExperts, dExpert, dModel] */
  readonly wGate: Value;
  /** [nExperts, dExpert, dModel] */
  readonly wUp: Value;
  /** [nExperts, dModel, dExpert] */
  readonly wDown: Value;
  /** [nExperts, dExpert] */
  readonly bGate?: Value;
  /** [nExperts, dExpert] */
  readonly bUp?: Value;
  /** [nExperts, dModel] */
  readonly bDown?: Value;
}

/** An expert that every token goes to. */
export interface SharedExpertWeights extends GatedMlpWeights {
  /** [1, dModel] Its output is multiplied with the sigmoid of this (Qwen2-MoE). */
  readonly wSharedGate?: Value;
}

/** The value of each neuron from its gate and its other branch. */
export type Gating = (pre: Value, preLinear: Value) => Value;

export function gatedBy(fn: ActivationFunction): Gating {
  return (pre, preLinear) => glu(pre, preLinear, { fn });
}

/**
 * Σ over each row's chosen experts of weight · expert(x); slots of `routing.indices` are the axis of A = nExpertsPerToken.
 * [T, dModel] -> [T, dModel]
 */
export function experts(x: Value, routing: Routing, w: ExpertsWeights, gating: Gating): Value {
  const { indices, weights } = routing;
  return scope(groupName(w), () => {
    const [, dModel] = x.shape as [string, number];
    const shared = splitHeads(x, { nHeads: 1, headDim: dModel }); // [T, 1, dModel]
    const pre = point("pre", matmulIndexed(shared, w.wGate, indices, w.bGate)); // [T, A, dExpert]
    const preLinear = point("preLinear", matmulIndexed(shared, w.wUp, indices, w.bUp)); // [T, A, dExpert]
    const post = point("post", gating(pre, preLinear)); // [T, A, dExpert]
    const out = point("out", matmulIndexed(post, w.wDown, indices, w.bDown)); // [T, A, dModel]
    return point("sum", mixExperts(out, weights)); // [T, dModel]
  });
}

/** The shared expert, after its gate where it has one. [T, dModel] -> [T, dModel] */
export function sharedExpert(x: Value, w: SharedExpertWeights, fn: ActivationFunction): Value {
  return scope(groupName(w), () => {
    const out = gatedNeurons(x, w, fn); // [T, dModel]
    if (w.wSharedGate === undefined) return point("contribution", out);
    const gate = point("gate", activate(matmul(x, w.wSharedGate), { fn: "sigmoid" })); // [T, 1]
    return point("contribution", mulRows(out, gate));
  });
}

/** What a sparse layer gives in the place of an MLP: the experts and, where the family has one, the shared expert. */
export function sparseOut(routed: Value, shared?: Value): Value {
  return scope("mlp", () => point("out", shared === undefined ? routed : add(routed, shared)));
}
