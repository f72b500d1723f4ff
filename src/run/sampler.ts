import { BackendError, RequestError } from "../errors.ts";
import type { FloatArray } from "../tensor/dtype.ts";

export interface SamplingOptions {
  /** 0 takes the most probable token (ties to the lowest id); above 0 logits are divided by it before drawing. */
  readonly temperature?: number;
  /** Makes drawing repeatable; an unsigned 32-bit integer. Chosen at random where undefined. */
  readonly seed?: number;
}

export interface Choice {
  readonly token: number;
  /** Natural logarithm of the token's probability under the model itself, at temperature 1. */
  readonly logprob: number;
}

/** Chooses tokens from logits [vocabSize]. */
export class Sampler {
  readonly #temperature: number;
  readonly #random: () => number;

  constructor({ temperature = 0, seed = Math.floor(Math.random() * 2 ** 32) }: SamplingOptions) {
    if (!(temperature >= 0) || !Number.isFinite(temperature)) {
      throw optionError("temperature", "a number from 0 up", temperature);
    }
    if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
      throw optionError("seed", "an integer from 0 to 2^32 − 1", seed);
    }
    this.#temperature = temperature;
    this.#random = mulberry32(seed);
  }

  choose(logits: FloatArray): Choice {
    const token = this.#temperature === 0 ? argmax(logits) : this.#draw(logits);
    return { token, logprob: logits[token] - logSumExp(logits, 1) };
  }

  #draw(logits: FloatArray): number {
    const logTotal = logSumExp(logits, this.#temperature);
    let left = this.#random();
    let last = argmax(logits);
    for (let i = 0; i < logits.length; i++) {
      const probability = Math.exp(logits[i] / this.#temperature - logTotal);
      if (probability > 0) last = i;
      left -= probability;
      if (left < 0) return i;
    }
    // The probabilities' sum fell short of 1 by rounding.
    return last;
  }
}

function argmax(logits: FloatArray): number {
  let best = -1;
  for (let i = 0; i < logits.length; i++) {
    if (Number.isNaN(logits[i])) throw notFinite("NaN");
    if (best < 0 || logits[i] > logits[best]) best = i;
  }
  if (best < 0 || !Number.isFinite(logits[best])) throw notFinite(`${logits[best]} at most`);
  return best;
}

function logSumExp(logits: FloatArray, temperature: number): number {
  let max = Number.NEGATIVE_INFINITY;
  for (const x of logits) max = Math.max(max, x / temperature);
  let sum = 0;
  for (const x of logits) sum += Math.exp(x / temperature - max);
  return max + Math.log(sum);
}

/** A small generator with 32 bits of state (T. Ettinger's mulberry32); uniform in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function optionError(path: string, expected: string, got: unknown): RequestError {
  return new RequestError("request.option", { path, expected: `must be ${expected}`, got: `${got}` });
}

function notFinite(got: string): BackendError {
  return new BackendError("backend.state", {
    path: "logits",
    expected: "a token is chosen from finite logits",
    got,
    remedy: "Read residPost of each block to find where the values leave the finite range.",
  });
}
