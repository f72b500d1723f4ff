import { BackendError } from "../errors.ts";
import type { FloatArray } from "../tensor/dtype.ts";
import { Candidates } from "./sampling/candidates.ts";
import {
  activeStages,
  biases,
  checkSampling,
  checkVocabulary,
  isDrawn,
  optionError,
  type SamplingOptions,
  type SamplingStage,
} from "./sampling/options.ts";
import { Penalties } from "./sampling/penalties.ts";
import { mulberry32 } from "./sampling/random.ts";
import { minP, temperature, topK, topP, typicalP } from "./sampling/stages.ts";

/** A token and the natural logarithm of its probability under the model itself, at temperature 1. */
export interface Prediction {
  readonly token: number;
  readonly logprob: number;
}

export interface Choice extends Prediction {
  /** The most probable tokens in descending order; undefined where `logprobs` does not ask for them. */
  readonly top: readonly Prediction[] | undefined;
}

const SHAPERS = { temperature, topK, topP, minP, typicalP };

/** Chooses tokens from logits [vocabSize], one after another. */
export class Sampler {
  readonly #options: SamplingOptions;
  readonly #stages: readonly SamplingStage[];
  readonly #biases: readonly (readonly [token: number, bias: number])[];
  readonly #penalties: Penalties | undefined;
  readonly #random: () => number;
  #candidates = new Candidates(0);

  /** `prompt`: the tokens before the first choice, which the repetition penalty looks at. */
  constructor(options: SamplingOptions, prompt: readonly number[] = []) {
    checkSampling(options);
    this.#options = options;
    this.#stages = activeStages(options);
    this.#biases = biases(options);
    this.#penalties = this.#stages.includes("penalties") ? new Penalties(options, prompt) : undefined;
    this.#random = mulberry32(options.seed ?? Math.floor(Math.random() * 2 ** 32));
  }

  /** Chooses the next token, and remembers it. */
  choose(logits: FloatArray): Choice {
    const best = argmax(logits);
    const logTotal = logSumExp(logits, logits[best]);
    const top = this.#top(logits, logTotal);
    const token = this.#pick(logits, best);
    this.#penalties?.push(token);
    return { token, logprob: logits[token] - logTotal, top };
  }

  /** The tokens that the next choice may fall on, in ascending order, and their probabilities. Chooses nothing. */
  distribution(logits: FloatArray): { readonly tokens: Int32Array; readonly probabilities: Float64Array } {
    const best = argmax(logits);
    if (!isDrawn(this.#options)) {
      return { tokens: Int32Array.of(this.#pick(logits, best)), probabilities: Float64Array.of(1) };
    }
    const candidates = this.#shape(logits);
    const total = candidates.weigh();
    const { tokens, weights, size } = candidates;
    return { tokens: tokens.slice(0, size), probabilities: weights.slice(0, size).map((weight) => weight / total) };
  }

  #pick(logits: FloatArray, best: number): number {
    if (isDrawn(this.#options)) return draw(this.#shape(logits), this.#random());
    if (this.#biases.length === 0 && this.#penalties === undefined) return best;
    const candidates = this.#shape(logits);
    return candidates.tokens[candidates.best()];
  }

  /** Lets the bias and all stages act. */
  #shape(logits: FloatArray): Candidates {
    const candidates = this.#begin(logits);
    for (const [token, bias] of this.#biases) {
      const i = candidates.indexOf(token);
      if (i >= 0) candidates.logits[i] += bias;
    }
    // A banned token leaves the running.
    if (this.#biases.some(([, bias]) => bias === Number.NEGATIVE_INFINITY)) candidates.keepFrom(-Number.MAX_VALUE);
    for (const stage of this.#stages) {
      if (stage === "penalties") this.#penalties?.apply(candidates);
      // A stage is active only where its option is given.
      else SHAPERS[stage](candidates, this.#options[stage] as number);
    }
    return candidates;
  }

  #top(logits: FloatArray, logTotal: number): Prediction[] | undefined {
    const n = this.#options.logprobs;
    if (n === undefined) return undefined;
    const candidates = this.#begin(logits);
    topK(candidates, n);
    const tokens = Array.from(candidates.tokens.subarray(0, candidates.size));
    const top = tokens.map((token) => ({ token, logprob: logits[token] - logTotal }));
    return top.sort((a, b) => b.logprob - a.logprob);
  }

  /** All tokens; the first logits also tell the size of the vocabulary, which the options must fit. */
  #begin(logits: FloatArray): Candidates {
    const vocabSize = logits.length;
    if (this.#candidates.tokens.length !== vocabSize) {
      const { logprobs = 0 } = this.#options;
      const biased = this.#biases.map(([token]) => token);
      checkVocabulary("logitBias", biased, vocabSize);
      if (logprobs > vocabSize) throw optionError("logprobs", `must be at most ${vocabSize}`, `${logprobs}`);
      this.#candidates = new Candidates(vocabSize);
    }
    this.#candidates.fill(logits);
    return this.#candidates;
  }
}

/** The token up to which the probabilities add up to more than `uniform`. */
function draw(candidates: Candidates, uniform: number): number {
  let left = uniform * candidates.weigh();
  const { tokens, weights, size } = candidates;
  let last = 0;
  for (let i = 0; i < size; i++) {
    if (weights[i] > 0) last = i;
    left -= weights[i];
    if (left < 0) return tokens[i];
  }
  // The sum fell short by rounding.
  return tokens[last];
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

function logSumExp(logits: FloatArray, max: number): number {
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - max);
  return max + Math.log(sum);
}

function notFinite(got: string): BackendError {
  return new BackendError("backend.state", {
    path: "logits",
    expected: "a token is chosen from finite logits",
    got,
    remedy: "Read residPost of each block to find where the values leave the finite range.",
  });
}
