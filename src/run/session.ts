import type { ModelConfig } from "../config/model-config.ts";
import { RequestError } from "../errors.ts";
import type { Read } from "../glass/plan.ts";
import type { ReadSpec } from "../points/read-spec.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Executor } from "./executor.ts";
import { type GenerateOptions, type GenerationStep, generate } from "./generate.ts";
import type { Sequence } from "./kv-pages.ts";
import { checkRunOptions, type RunOptions } from "./options.ts";
import type { Run } from "./result.ts";

/** What a session needs of its model. */
export interface SessionModel {
  readonly tokenizer: Tokenizer;
  readonly hasTokenizer: boolean;
  readonly config: ModelConfig;
  readonly eosTokens: readonly number[];
  resolveReads(specs: readonly ReadSpec[]): Read[];
}

/** One growing sequence whose keys and values stay cached between calls. Calls run one after another. */
export class Session {
  readonly #model: SessionModel;
  readonly #executor: Executor;
  readonly #sequence: Sequence;
  readonly #tokens: number[] = [];
  #closed = false;
  /** The append under way: what comes after it begins where it ends. */
  #last: Promise<unknown> = Promise.resolve();

  /** Made by `model.session()`. */
  constructor(model: SessionModel, executor: Executor) {
    this.#model = model;
    this.#executor = executor;
    this.#sequence = executor.newSequence();
  }

  /** All tokens that have been run, in order. */
  get tokens(): readonly number[] {
    return this.#tokens;
  }

  /** Runs further tokens (or text, BOS added only at the very start) after those already cached. */
  async append(input: string | readonly number[], options: RunOptions = {}): Promise<Run> {
    this.#checkOpen();
    const given = typeof input === "string" ? input : [...input];
    const run = this.#last.then(() => this.#append(this.#encode(given), options));
    this.#last = run.catch(() => {});
    return run;
  }

  /** Appends `input` and continues it token by token. */
  async *generate(
    input: string | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerationStep, void, undefined> {
    this.#checkOpen();
    await this.#last;
    const { hasTokenizer, eosTokens, config } = this.#model;
    const tokenizer = hasTokenizer ? this.#model.tokenizer : undefined;
    const { contextLength } = config;
    yield* generate(this, this.#encode(input), options, { tokenizer, eosTokens, contextLength });
  }

  /** Gives the cache's memory back, once the calls under way have ended. */
  close(): void {
    if (!this.#closed) this.#executor.release(this.#sequence);
    this.#closed = true;
  }

  async #append(tokens: readonly number[], options: RunOptions): Promise<Run> {
    const { read, logits, signal } = checkRunOptions("append", options);
    const request = { logits, reads: this.#model.resolveReads(read), keepsState: true };
    const run = await this.#executor.step([{ sequence: this.#sequence, tokens }], request, signal);
    for (const token of tokens) this.#tokens.push(token);
    return run;
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
