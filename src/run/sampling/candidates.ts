import { RequestError } from "../../errors.ts";
import type { FloatArray } from "../../tensor/dtype.ts";

/**
 * The tokens that are still in the running, in ascending order, each with a logit above −∞. Stages change logits or
 * leave tokens out; whatever they do, the order stays, so that a seed's draw depends on the distribution alone.
 */
export class Candidates {
  size = 0;
  readonly tokens: Int32Array;
  readonly logits: Float64Array;
  /** exp(logit − the largest logit), as the last `weigh` left it. */
  readonly weights: Float64Array;
  /** What a stage may rank tokens by. */
  readonly keys: Float64Array;
  readonly #scratchKeys: Float64Array;
  readonly #scratchWeights: Float64Array;
  readonly #ranges: Uint16Array;

  /** Arrays for a vocabulary of this size, to be filled again at every step. */
  constructor(vocabSize: number) {
    this.tokens = new Int32Array(vocabSize);
    this.#ranges = new Uint16Array(vocabSize);
    const floats = () => new Float64Array(vocabSize);
    [this.logits, this.weights, this.keys, this.#scratchKeys, this.#scratchWeights] = Array.from({ length: 5 }, floats);
  }

  /** Begins anew with all tokens that the model gives any probability. */
  fill(logits: FloatArray): void {
    let n = 0;
    for (let token = 0; token < logits.length; token++) {
      if (logits[token] === Number.NEGATIVE_INFINITY) continue;
      this.tokens[n] = token;
      this.logits[n++] = logits[token];
    }
    this.size = n;
  }

  /** Where a token stands; −1 where it has been left out. */
  indexOf(token: number): number {
    if (token < this.size && this.tokens[token] === token) return token;
    let [low, high] = [0, this.size];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.tokens[middle] < token) low = middle + 1;
      else high = middle;
    }
    return low < this.size && this.tokens[low] === token ? low : -1;
  }

  /** The place of the largest logit, the first of several. */
  best(): number {
    const { logits, size } = this;
    let best = 0;
    for (let i = 1; i < size; i++) if (logits[i] > logits[best]) best = i;
    if (size > 0 && Number.isFinite(logits[best])) return best;
    throw new RequestError("request.option", {
      path: "logitBias and penalties",
      expected: "they must leave some token a finite logit, and none an infinite one",
      got: size === 0 ? "no token" : `${logits[best]}`,
    });
  }

  /** Fills `weights`, and gives their sum. */
  weigh(): number {
    const { logits, weights, size } = this;
    const max = logits[this.best()];
    let total = 0;
    for (let i = 0; i < size; i++) total += weights[i] = Math.exp(logits[i] - max);
    return total;
  }

  /** Leaves out tokens whose logits are below. */
  keepFrom(logit: number): void {
    const { tokens, logits, size } = this;
    let n = 0;
    for (let i = 0; i < size; i++) {
      if (!(logits[i] >= logit)) continue;
      tokens[n] = tokens[i];
      logits[n++] = logits[i];
    }
    this.size = n;
  }

  /**
   * Keeps the fewest tokens of the largest keys whose weights together reach `target`; of equal keys the lowest
   * tokens. Takes time in proportion to the number of tokens: nothing is sorted.
   */
  keepLargest(keys: Float64Array, weights: Float64Array, target: number): void {
    const { tokens, logits, size } = this;
    const { threshold, above } = this.#select(keys, weights, target);
    let [n, left] = [0, target - above];
    for (let i = 0; i < size; i++) {
      if (!(keys[i] >= threshold)) continue;
      if (keys[i] === threshold) {
        if (left <= 0) continue;
        left -= weights[i];
      }
      tokens[n] = tokens[i];
      logits[n++] = logits[i];
    }
    this.size = n;
  }

  /**
   * The key down to which weights must be added to reach `target`, and the weight above that key. Finds it by sums of
   * weights over equal ranges of keys, then over ranges within the one that matters, until that holds one key alone.
   */
  #select(keys: Float64Array, weights: Float64Array, target: number): { threshold: number; above: number } {
    let [k, w] = [this.#scratchKeys, this.#scratchWeights];
    let { n, sum } = this.#guess(keys, weights);
    if (sum < target) [k, w, n] = [keys, weights, this.size];
    for (let above = 0; ; ) {
      const [min, max] = finiteRange(k, n);
      if (min >= max) return { threshold: max, above };
      const sums = this.#sumByRange(k, w, n, min, max);
      let range = N_RANGES - 1;
      while (range > 0 && above + sums[range] < target) above += sums[range--];
      n = this.#gather(k, w, n, range);
      [k, w] = [this.#scratchKeys, this.#scratchWeights];
    }
  }

  /** Brings about a sixteenth of the tokens, those of the largest keys, to the scratch arrays: often they suffice. */
  #guess(keys: Float64Array, weights: Float64Array): { n: number; sum: number } {
    const { size } = this;
    const sample = Float64Array.from({ length: SAMPLE }, (_, i) => keys[Math.floor((i * size) / SAMPLE)]).sort();
    const least = sample[SAMPLE - SAMPLE / 16];
    const [scratchKeys, scratchWeights] = [this.#scratchKeys, this.#scratchWeights];
    let [n, sum] = [0, 0];
    for (let i = 0; i < size; i++) {
      if (!(keys[i] >= least)) continue;
      scratchKeys[n] = keys[i];
      scratchWeights[n++] = weights[i];
      sum += weights[i];
    }
    return { n, sum };
  }

  /** The weights' sums over equal ranges of keys. */
  #sumByRange(k: Float64Array, w: Float64Array, n: number, min: number, max: number): Float64Array {
    const ranges = this.#ranges;
    const sums = new Float64Array(N_RANGES);
    const scale = Number.isFinite(max - min) ? 1 : 0.5;
    const [start, width] = [min * scale, max * scale - min * scale];
    for (let i = 0; i < n; i++) {
      // −∞, which weighs nothing, goes to the lowest.
      const range = Math.max(0, Math.trunc(((k[i] * scale - start) / width) * (N_RANGES - 1)));
      ranges[i] = range;
      sums[range] += w[i];
    }
    return sums;
  }

  /** Brings the keys and weights of one range to the front of the scratch arrays, and counts them. */
  #gather(k: Float64Array, w: Float64Array, n: number, range: number): number {
    const [ranges, scratchKeys, scratchWeights] = [this.#ranges, this.#scratchKeys, this.#scratchWeights];
    let kept = 0;
    for (let i = 0; i < n; i++) {
      if (ranges[i] !== range) continue;
      scratchKeys[kept] = k[i];
      scratchWeights[kept++] = w[i];
    }
    return kept;
  }
}

/** How many keys are looked at to guess which are large. */
const SAMPLE = 256;

const N_RANGES = 1024;

/** The least and the largest of the first n keys, −∞ left out; −∞ as the largest where there is no other. */
function finiteRange(keys: Float64Array, n: number): [min: number, max: number] {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < n; i++) {
    const key = keys[i];
    if (key > max) max = key;
    if (key < min && key !== Number.NEGATIVE_INFINITY) min = key;
  }
  return [min, max];
}
