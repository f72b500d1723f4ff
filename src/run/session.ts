import { RequestError } from "../errors.ts";
import type { ReadSpec } from "../points/read-spec.ts";
import type { Executor, LogitRows } from "./executor.ts";
import { type GenerateOptions, type GenerationStep, generate } from "./generate.ts";
import type { Sequence } from "./kv-pages.ts";
import type { Model } from "./model.ts";
import { checkRunOptions } from "./options.ts";
import type { Run } from "./result.ts";

export interface AppendOptions {
  readonly read?: readonly ReadSpec[];
  /** Which of the new rows' logits to give; all unless asked otherwise. */
  readonly logits?: LogitRows;
  readonly signal?: AbortSignal;
}

/** One growing sequence whose keys and values stay cached between calls. Calls run one after another. */
export class Session {
  readonly #model: Model;
  readonly #executor: Executor;
  readonly #sequence: Sequence;
  readonly #tokens: number[] = [];
  #closed = false;

  /** Made by `model.session()`. */
  constructor(model: Model, executor: Executor) {
    this.#model = model;
    this.#executor = executor;
    this.#sequence = executor.newSequence();
  }

  /** All tokens that have been run, in order. */
  get tokens(): readonly number[] {
    return this.#tokens;
  }

  /** Runs further tokens (or text, BOS added only at the very start) after those already cached. */
  async append(input: string | readonly number[], options: AppendOptions = {}): Promise<Run> {
    this.#checkOpen();
    const tokens = this.#encode(input);
    const { read, logits, signal } = checkRunOptions("append", options);
    const request = { logits, reads: this.#model.resolveReads(read), keepsState: true };
    const run = await this.#executor.step([{ sequence: this.#sequence, tokens }], request, signal);
    for (const token of tokens) this.#tokens.push(token);
    return run;
  }

  /** Appends `input` and continues it token by token. */
  generate(
    input: string | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerationStep, void, undefined> {
    this.#checkOpen();
    const { tokenizer, eosTokens, config } = this.#model.generation;
    return generate(this, this.#encode(input), options, { tokenizer, eosTokens, contextLength: config.contextLength });
  }

  /** Gives the cache's memory back, once the calls under way have ended. */
  close(): void {
    if (!this.#closed) this.#executor.release(this.#sequence);
    this.#closed = true;
  }

  #encode(input: string | readonly number[]): readonly number[] {
    if (typeof input !== "string") return input;
    return this.#model.tokenizer.encode(input, { addSpecialTokens: this.#tokens.length === 0 });
  }

  #checkOpen(): void {
    if (!this.#closed) return;
    throw new RequestError("request.option", { path: "session", expected: "the session must be open", got: "closed" });
  }
}
