import { RequestError } from "../errors.ts";
import type { ReadSpec } from "../points/read-spec.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type AppendOptions, checkOptions } from "./options.ts";
import type { Run } from "./result.ts";
import { type Prediction, Sampler } from "./sampler.ts";
import { checkVocabulary, isTokenId, optionError, SAMPLING_OPTIONS, type SamplingOptions } from "./sampling/options.ts";
import { checkStop, StopStrings } from "./sampling/stop-strings.ts";

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate; up to the end of the context where undefined. */
  readonly maxTokens?: number;
  /**
   * Texts that end generation as soon as one is complete in what was generated; neither it nor what follows is part of
   * the text. The prompt is not searched. A session keeps the tokens that it was made of, all but the last.
   */
  readonly stop?: string | readonly string[];
  /** Tokens that end generation; the model's own end-of-sequence tokens where undefined, none where empty. */
  readonly stopTokens?: readonly number[];
  /** Ends generation by rejecting with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Points to read in every step. */
  readonly read?: readonly ReadSpec[];
}

/** stop: a stop token or a stop string came. length: maxTokens is reached. context: the model's context is full. */
export type FinishReason = "stop" | "length" | "context";

/** A token, its logprob under the model itself at temperature 1, and its text where the tokenizer knows it. */
export interface TokenLogprob extends Prediction {
  readonly text: string | undefined;
}

/** One generated token. */
export class GenerationStep {
  readonly token: number;
  /**
   * What the token adds to the text: whole characters only, and nothing that may belong to a stop string, so it may be
   * empty until a later token decides. The texts of all steps are the generated text.
   */
  readonly text: string;
  /** Natural logarithm of the token's probability under the model itself: at temperature 1, before bias and penalties. */
  readonly logprob: number;
  /** The most probable tokens of this step, most probable first; undefined unless the option `logprobs` asks for them. */
  readonly logprobs: readonly TokenLogprob[] | undefined;
  /** Set on the last step. */
  readonly finishReason: FinishReason | undefined;
  /** The stop token or stop string that came, where finishReason is "stop". */
  readonly stopReason: number | string | undefined;
  /**
   * The run that chose the token. In the first step it holds the rows of the whole prompt, then one row, that of the
   * token chosen before. The last token is not run.
   */
  readonly run: Run;

  constructor(parts: Omit<GenerationStep, "get">) {
    this.token = parts.token;
    this.text = parts.text;
    this.logprob = parts.logprob;
    this.logprobs = parts.logprobs;
    this.finishReason = parts.finishReason;
    this.stopReason = parts.stopReason;
    this.run = parts.run;
  }

  /** A point that was read in this step; see `run` for its rows. */
  get(point: string): Tensor {
    return this.run.get(point);
  }
}

/** A sequence that grows by what is appended to it. */
export interface Growing {
  readonly tokens: readonly number[];
  append(tokens: readonly number[], options: AppendOptions): Promise<Run>;
  chose(token: number): void;
}

/** What generation needs to know of its model. */
export interface GeneratingModel {
  readonly tokenizer?: Tokenizer;
  readonly eosTokens: readonly number[];
  readonly contextLength: number;
}

/** Continues a session from `prompt`, one token a step. */
export async function* generate(
  session: Growing,
  prompt: readonly number[],
  options: GenerateOptions,
  model: GeneratingModel,
): AsyncGenerator<GenerationStep, void, undefined> {
  const { tokenizer, contextLength } = model;
  const { maxTokens, stop, stopTokens, signal, read } = checkGenerateOptions(options, model);
  const before = [...session.tokens, ...prompt];
  const sampler = new Sampler(options, before);
  const stream = tokenizer?.stream(before);
  const stops = new StopStrings(stop);
  let pending = prompt;
  for (let n = 1; ; n++) {
    const run = await session.append(pending, { read, logits: "last", signal });
    const logits = run.logits.row(0).data;
    checkVocabulary("stopTokens", options.stopTokens ?? [], logits.length);
    const { token, logprob, top } = sampler.choose(logits);
    session.chose(token);
    const end = endOf(token, n);
    let text = stops.push(stream?.push(token) ?? "");
    if (end !== undefined && stops.found === undefined) text += stops.push(stream?.end() ?? "") + stops.end();
    const finishReason = stops.found === undefined ? end : "stop";
    const stopReason = stops.found ?? (end === "stop" ? token : undefined);
    const logprobs = top?.map((one) => ({ ...one, text: textOf(one.token, tokenizer) }));
    yield new GenerationStep({ token, text, logprob, logprobs, finishReason, stopReason, run });
    if (finishReason !== undefined) return;
    pending = [token];
  }

  function endOf(token: number, n: number): FinishReason | undefined {
    if (stopTokens.includes(token)) return "stop";
    if (n >= maxTokens) return "length";
    return session.tokens.length >= contextLength ? "context" : undefined;
  }
}

const KNOWN_OPTIONS = [...SAMPLING_OPTIONS, "maxTokens", "stop", "stopTokens", "signal", "read"];

function checkGenerateOptions(options: GenerateOptions, { tokenizer, eosTokens }: GeneratingModel) {
  checkOptions("generate", options, KNOWN_OPTIONS);
  const { maxTokens = Number.POSITIVE_INFINITY, stop = [], stopTokens = eosTokens, signal, read = [] } = options;
  if (!(maxTokens > 0) || (Number.isFinite(maxTokens) && !Number.isInteger(maxTokens))) {
    throw optionError("maxTokens", "must be a positive integer", `${maxTokens}`);
  }
  if (!Array.isArray(stopTokens) || !stopTokens.every(isTokenId)) {
    throw optionError("stopTokens", "must be a list of token ids", JSON.stringify(stopTokens));
  }
  const strings = checkStop(stop);
  if (strings.length > 0 && tokenizer === undefined) {
    throw optionError("stop", "needs a model with a tokenizer", "a model without one", "Give stopTokens instead.");
  }
  return { maxTokens, stop: strings, stopTokens, signal, read };
}

/** Vocabularies may be padded with ids that the tokenizer does not have. */
function textOf(token: number, tokenizer: Tokenizer | undefined): string | undefined {
  try {
    return tokenizer?.text(token);
  } catch (error) {
    if (error instanceof RequestError) return undefined;
    throw error;
  }
}
