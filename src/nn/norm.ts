import { layerNorm as layerNormOp, rmsNorm as rmsNormOp } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { groupName } from "../weights/schema.ts";

interface NormConfig {
  readonly normEps: number;
}

/** Root mean square norm over the last axis, in the scope of its weights. */
export function rmsNorm(x: Value, weights: { readonly gain: Value }, { normEps }: NormConfig): Value {
  return scope(groupName(weights), () => point("out", rmsNormOp(x, weights.gain, { eps: normEps })));
}

/** Layer norm over the last axis, in the scope of its weights. */
export function layerNorm(
  x: Value,
  weights: { readonly gain: Value; readonly bias: Value },
  { normEps }: NormConfig,
): Value {
  return scope(groupName(weights), () => point("out", layerNormOp(x, weights.gain, weights.bias, { eps: normEps })));
}
