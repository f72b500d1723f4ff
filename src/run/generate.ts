import { RequestError } from "../errors.ts";
import type { ReadSpec } from "../points/read-spec.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkOptions, type RunOptions } from "./options.ts";
import type { Run } from "./result.ts";
import { Sampler, type SamplingOptions } from "./sampler.ts";

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate; up to the end of the context where undefined. */
  readonly maxTokens?: number;
  /** Tokens that end generation; the model's own end-of-sequence tokens where undefined, none where empty. */
  readonly stopTokens?: readonly number[];
  /** Ends generation by rejecting with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Points to read in every step. */
  readonly read?: readonly ReadSpec[];
}

/** stop: a stop token came. length: maxTokens is reached. context: the model's context is full. */
export type FinishReason = "stop" | "length" | "context";

/** One generated token. */
export class GenerationStep {
  readonly token: number;
  /** What the token adds to the text: whole characters only, so it may be empty until a later token completes one. */
  readonly text: string;
  /** Natural logarithm of the token's probability under the model, at temperature 1. */
  readonly logprob: number;
  /** Set on the last step. */
  readonly finishReason: FinishReason | undefined;
  /**
   * The run that chose the token. In the first step it holds the rows of the whole prompt, then one row, that of the
   * token chosen before. The last token is not run.
   */
  readonly run: Run;

  constructor(parts: Pick<GenerationStep, "token" | "text" | "logprob" | "finishReason" | "run">) {
    this.token = parts.token;
    this.text = parts.text;
    this.logprob = parts.logprob;
    this.finishReason = parts.finishReason;
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
  append(tokens: readonly number[], options: RunOptions): Promise<Run>;
}

/** Continues a session from `prompt`, one token a step. */
export async function* generate(
  session: Growing,
  prompt: readonly number[],
  options: GenerateOptions,
  {
    tokenizer,
    eosTokens,
    contextLength,
  }: { tokenizer?: Tokenizer; eosTokens: readonly number[]; contextLength: number },
): AsyncGenerator<GenerationStep, void, undefined> {
  checkOptions("generate", options, ["temperature", "seed", "maxTokens", "stopTokens", "signal", "read"]);
  const { maxTokens = Number.POSITIVE_INFINITY, stopTokens = eosTokens, signal, read = [] } = options;
  if (!(maxTokens > 0) || (Number.isFinite(maxTokens) && !Number.isInteger(maxTokens))) {
    throw new RequestError("request.option", {
      path: "maxTokens",
      expected: "must be a positive integer",
      got: `${maxTokens}`,
    });
  }
  const sampler = new Sampler(options);
  const stream = tokenizer?.stream([...session.tokens, ...prompt]);
  let pending = prompt;
  for (let n = 1; ; n++) {
    const run = await session.append(pending, { read, logits: "last", signal });
    const { token, logprob } = sampler.choose(run.logits.row(0).data);
    const finishReason = finish(token, n);
    const text = stream === undefined ? "" : stream.push(token) + (finishReason === undefined ? "" : stream.end());
    yield new GenerationStep({ token, text, logprob, finishReason, run });
    if (finishReason !== undefined) return;
    pending = [token];
  }

  function finish(token: number, n: number): FinishReason | undefined {
    if (stopTokens.includes(token)) return "stop";
    if (n >= maxTokens) return "length";
    return session.tokens.length >= contextLength ? "context" : undefined;
  }
}
