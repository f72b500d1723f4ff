import { type ActivationFunction, activate } from "../ops/activate/activate.ts";
import { glu, matmul } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { groupName } from "../weights/schema.ts";

export interface MlpWeights {
  readonly wUp: Value;
  readonly wDown: Value;
  readonly bUp?: Value;
  readonly bDown?: Value;
}

export interface GatedMlpWeights extends MlpWeights {
  readonly wGate: Value;
  readonly bGate?: Value;
}

/** down(fn(up x)): one neuron is one row of up and one column of down. [T, dModel] -> [T, dModel] */
export function mlp(x: Value, w: MlpWeights, fn: ActivationFunction): Value {
  return scope(groupName(w), () => {
    const pre = point("pre", matmul(x, w.wUp, w.bUp)); // [T, dFf]
    const post = point("post", activate(pre, { fn })); // [T, dFf]
    return point("out", matmul(post, w.wDown, w.bDown)); // [T, dModel]
  });
}

/** down(fn(gate x) · up x). [T, dModel] -> [T, dModel] */
export function gatedMlp(x: Value, w: GatedMlpWeights, fn: ActivationFunction): Value {
  return scope(groupName(w), () => gatedNeurons(x, w, fn));
}

/** `gatedMlp` in the scope that is open. */
export function gatedNeurons(x: Value, w: GatedMlpWeights, fn: ActivationFunction): Value {
  const pre = point("pre", matmul(x, w.wGate, w.bGate)); // [T, dFf]
  const preLinear = point("preLinear", matmul(x, w.wUp, w.bUp)); // [T, dFf]
  const post = point("post", glu(pre, preLinear, { fn })); // [T, dFf]
  return point("out", matmul(post, w.wDown, w.bDown)); // [T, dModel]
}
