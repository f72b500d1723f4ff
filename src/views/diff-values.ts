/** How far two tensors of equal shape, or two distributions, lie apart. */

import type { Tensor } from "../tensor/tensor.ts";

export interface Distance {
  readonly maxAbs: number;
  readonly meanAbs: number;
  /** ‖a − b‖ / ‖a‖; infinite where a is 0 and b is not. */
  readonly relative: number;
  /** Null where either is 0. */
  readonly cosine: number | null;
  /** Index along the rows' axis of the largest difference; the first of several. */
  readonly worstRow: number;
}

/** `rowAxis`: which axis counts the rows. Equal infinities (scores of keys that a row does not see) do not differ. */
export function distance(a: Tensor, b: Tensor, rowAxis: number): Distance {
  const nRows = a.shape[rowAxis];
  const nInner = a.shape.slice(rowAxis + 1).reduce((product, size) => product * size, 1);
  let [maxAbs, sumAbs, sumSquares, aa, bb, ab, worstRow] = [0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < a.data.length; i++) {
    const [x, y] = [a.data[i], b.data[i]];
    if (Number.isFinite(x) && Number.isFinite(y)) {
      aa += x * x;
      bb += y * y;
      ab += x * y;
    }
    const delta = difference(x, y);
    if (delta === 0) continue;
    sumAbs += delta;
    sumSquares += delta * delta;
    if (delta > maxAbs) [maxAbs, worstRow] = [delta, Math.floor(i / nInner) % nRows];
  }
  return {
    maxAbs,
    meanAbs: a.data.length === 0 ? 0 : sumAbs / a.data.length,
    relative: sumSquares === 0 ? 0 : Math.sqrt(sumSquares / aa),
    cosine: aa === 0 || bb === 0 ? null : ab / Math.sqrt(aa * bb),
    worstRow,
  };
}

/** A number and what is none are infinitely far apart. */
function difference(x: number, y: number): number {
  if (Object.is(x, y) || x === y) return 0;
  const delta = Math.abs(x - y);
  return Number.isNaN(delta) ? Number.POSITIVE_INFINITY : delta;
}

/** Σ p ln(p / q) in nats, of the distributions that two rows of logits stand for. */
export function divergence(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [logTotalA, logTotalB] = [logSumExp(a), logSumExp(b)];
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const logP = a[i] - logTotalA;
    const p = Math.exp(logP);
    if (p > 0) sum += p * (logP - (b[i] - logTotalB));
  }
  // Rounding can take equal distributions below zero.
  return Math.max(0, sum);
}

function logSumExp(x: ArrayLike<number>): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < x.length; i++) max = Math.max(max, x[i]);
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += Math.exp(x[i] - max);
  return max + Math.log(sum);
}

/** The first of the largest. */
export function argmax(x: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < x.length; i++) if (x[i] > x[best]) best = i;
  return best;
}
