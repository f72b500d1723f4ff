import {
  center,
  layerNorm as layerNormOp,
  mergeHeads,
  mul,
  rms,
  rmsNorm as rmsNormOp,
  splitHeads,
} from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { groupName } from "../weights/schema.ts";

interface NormConfig {
  readonly normEps: number;
}

/** A norm of either kind: a LayerNorm has a bias and takes the mean away first, an RMSNorm does neither. */
interface NormWeights {
  readonly gain: Value;
  readonly bias?: Value;
}

/** Root mean square norm over the last axis, in the scope of its weights. */
export function rmsNorm(x: Value, weights: { readonly gain: Value }, { normEps }: NormConfig): Value {
  return scope(groupName(weights), () => point("out", rmsNormOp(x, weights.gain, { eps: normEps })));
}

/** Root mean square norm over all heads of a row together, with gain [H * D]. [T, H, D] -> [T, H, D] */
export function rmsNormAcrossHeads(x: Value, weights: { readonly gain: Value }, config: NormConfig): Value {
  const [, nHeads, headDim] = x.shape as [string, number, number];
  return splitHeads(rmsNorm(mergeHeads(x), weights, config), { nHeads, headDim });
}

/** Layer norm over the last axis, in the scope of its weights. */
export function layerNorm(
  x: Value,
  weights: { readonly gain: Value; readonly bias: Value },
  { normEps }: NormConfig,
): Value {
  return scope(groupName(weights), () => point("out", layerNormOp(x, weights.gain, weights.bias, { eps: normEps })));
}

/** What a norm divides each row by. [..., d] -> [..., 1] */
export function normDivisor(x: Value, { bias }: NormWeights, { normEps }: NormConfig): Value {
  return rms(bias === undefined ? x : center(x), { eps: normEps });
}

/**
 * A direction at a norm's output as one at its input, times the divisor: norm(x) · direction is
 * x · beforeNorm(direction) / divisor + bias · direction. [..., d] -> [..., d]
 */
export function beforeNorm(direction: Value, { gain, bias }: NormWeights): Value {
  const scaled = mul(direction, gain);
  return bias === undefined ? scaled : center(scaled);
}
