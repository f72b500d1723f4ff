import { RequestError } from "../errors.ts";
import type { EditSpec } from "../glass/edit-spec.ts";
import type { Read } from "../glass/plan.ts";
import type { ReadSpec } from "../points/read-spec.ts";
import type { KvType } from "../tape/value.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { isChat, type Prompt } from "./chat.ts";
import type { EditList } from "./edit-list.ts";
import { type GenerateOptions, type GenerationStep, generate } from "./generate.ts";
import type { Sequence } from "./kv-pages.ts";
import { type AppendOptions, checkAppendOptions } from "./options.ts";
import type { Run } from "./result.ts";
import type { Scheduler } from "./scheduler.ts";
import { type EditCount, sumOfCounts } from "./step-result.ts";

/** What a session needs of its model. */
export interface SessionModel {
  readonly tokenizer: Tokenizer;
  readonly hasTokenizer: boolean;
  readonly eosTokens: readonly number[];
  encode(prompt: Prompt): readonly number[];
  resolveReads(specs: readonly ReadSpec[]): readonly Read[];
}

/** Settings of a session. */
export interface SessionOptions {
  /** Most tokens that the session may hold; the model's context where undefined. */
  readonly contextLength?: number;
  /** How keys and values are cached: f16 takes half the memory and rounds them. f32 where undefined. */
  readonly kv?: KvType;
  /**
   * Changes of values in every step, applied in their order. What is cached was computed with them, so they stay the
   * session's own from its first token to its last, and its forks have them too.
   */
  readonly edits?: readonly EditSpec[];
}

/** What a session is made with beside its place in the cache. */
interface SessionParts {
  readonly contextLength: number;
  readonly edits: EditList;
  readonly tokens?: readonly number[];
  readonly generated?: ReadonlySet<number>;
  readonly chosen?: number;
}

/** One growing sequence whose keys and values stay cached between calls. Calls run one after another. */
export class Session {
  readonly #model: SessionModel;
  readonly #scheduler: Scheduler;
  readonly #sequence: Sequence;
  readonly #tokens: number[];
  readonly contextLength: number;
  readonly #edits: EditList;
  #edited: EditCount[] = [];
  /** Positions of tokens that were generated, whether or not they have been run. */
  readonly #generated: Set<number>;
  /** The token that was chosen to come next. */
  #chosen: number | undefined;
  #closed = false;
  /** The call under way: what comes after it begins where it ends. */
  #last: Promise<unknown> = Promise.resolve();

  /** Made by `model.session()`. */
  constructor(
    model: SessionModel,
    scheduler: Scheduler,
    sequence: Sequence,
    { contextLength, edits, tokens = [], generated = new Set(), chosen }: SessionParts,
  ) {
    this.#model = model;
    this.#scheduler = scheduler;
    this.#sequence = sequence;
    this.contextLength = contextLength;
    this.#edits = edits;
    this.#tokens = [...tokens];
    this.#generated = new Set(generated);
    this.#chosen = chosen;
  }

  /** All tokens that have been run, in order. */
  get tokens(): readonly number[] {
    return this.#tokens;
  }

  /**
   * Runs further tokens (or text, BOS added only at the very start) after those already cached. A chat is the whole
   * conversation: what is cached of its beginning stays, the rest is forgotten, and only what is new runs.
   */
  async append(input: Prompt, options: AppendOptions = {}): Promise<Run> {
    this.#checkOpen();
    const given = typeof input === "string" || isChat(input) ? input : [...input];
    return this.#inOrder(async () => this.#append(await this.#unseen(given), options));
  }

  /** Appends `input` and continues it token by token. */
  async *generate(input: Prompt, options: GenerateOptions = {}): AsyncGenerator<GenerationStep, void, undefined> {
    this.#checkOpen();
    if ("edits" in options) {
      throw new RequestError("request.option", {
        path: "generate: edits",
        expected: "edits are the session's own, since what it has cached was computed with them",
        remedy: "Give them to model.session({ edits }).",
      });
    }
    const tokens = await this.#inOrder(() => this.#unseen(input));
    const { hasTokenizer, eosTokens } = this.#model;
    const tokenizer = hasTokenizer ? this.#model.tokenizer : undefined;
    const { contextLength } = this;
    yield* generate(this, tokens, options, { tokenizer, eosTokens, contextLength });
  }

  /** For each edit, the number of rows that it has changed in all steps so far. */
  get edited(): EditCount[] {
    return [...this.#edited];
  }

  /** Refuses a text that has come to its end without reaching the positions of an edit. @throws PointError */
  checkEdited(): void {
    this.#edits.checkApplied(this.edited, this.#tokens.length);
  }

  /**
   * Says that `token` was generated and comes next, so that edits at "generated" apply to it once it is appended.
   * `generate` says so itself.
   */
  chose(token: number): void {
    this.#chosen = token;
  }

  /** A second session that goes on from here; what both have cached is shared until one of them writes there. */
  async fork(): Promise<Session> {
    this.#checkOpen();
    return this.#inOrder(() =>
      this.#scheduler.exclusive(() => {
        const parts = {
          contextLength: this.contextLength,
          edits: this.#edits,
          tokens: this.#tokens,
          generated: this.#generated,
          chosen: this.#chosen,
        };
        return new Session(this.#model, this.#scheduler, this.#sequence.fork(), parts);
      }),
    );
  }

  /** Forgets all tokens from position `length` on. */
  async truncate(length: number): Promise<void> {
    this.#checkOpen();
    if (!Number.isInteger(length) || length < 0 || length > this.#tokens.length) {
      throw new RequestError("request.option", {
        path: "truncate",
        expected: `the length must be from 0 to ${this.#tokens.length}`,
        got: `${length}`,
      });
    }
    await this.#inOrder(() => this.#truncate(length));
  }

  /**
   * Keeps the longest cached beginning that `tokens` has too, forgets the rest, and gives the tokens that are still to
   * be appended; at least one, so that there are logits to go on from.
   */
  async reuse(tokens: readonly number[]): Promise<number[]> {
    this.#checkOpen();
    return this.#inOrder(() => this.#reuse(tokens));
  }

  /** Gives the cache's memory back, once the calls under way have ended. */
  close(): void {
    // In its turn: a step that waits for a function of the caller still needs its place in the cache.
    if (!this.#closed) this.#inOrder(() => this.#scheduler.exclusive(() => this.#sequence.release()));
    this.#closed = true;
  }

  #inOrder<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#last.then(call);
    this.#last = result.catch(() => {});
    return result;
  }

  async #append(tokens: readonly number[], options: AppendOptions): Promise<Run> {
    const { read, logits, signal } = checkAppendOptions("append", options);
    const { edits, slots } = await this.#edits.growing();
    const request = { logits, reads: this.#model.resolveReads(read), edits: slots, keepsState: true };
    if (this.#sequence.length + tokens.length > this.contextLength) throw this.#fullError(tokens.length);
    const first = this.#tokens.length;
    const isChosen = tokens[0] === this.#chosen;
    const isGenerated = (position: number): boolean =>
      this.#generated.has(position) || (isChosen && position === first);
    const append = { sequence: this.#sequence, tokens, edits, isGenerated };
    const run = await this.#scheduler.step([append], request, signal);
    for (const token of tokens) this.#tokens.push(token);
    if (isChosen) this.#generated.add(first);
    this.#chosen = undefined;
    this.#edited = sumOfCounts([...this.#edited, ...run.edited]);
    return run;
  }

  /** The tokens of `input` that are to run after those that are cached. */
  async #unseen(input: Prompt): Promise<readonly number[]> {
    if (isChat(input)) return this.#reuse(this.#model.encode(input));
    if (typeof input !== "string") return input;
    return this.#model.tokenizer.encode(input, { addSpecialTokens: this.#tokens.length === 0 });
  }

  async #reuse(tokens: readonly number[]): Promise<number[]> {
    const limit = Math.min(tokens.length - 1, this.#tokens.length);
    let nShared = 0;
    while (nShared < limit && tokens[nShared] === this.#tokens[nShared]) nShared++;
    await this.#truncate(nShared);
    return tokens.slice(nShared);
  }

  #truncate(length: number): Promise<void> {
    return this.#scheduler.exclusive(() => {
      this.#sequence.truncate(length);
      if (length < this.#tokens.length) this.#chosen = undefined;
      this.#tokens.length = Math.min(length, this.#tokens.length);
      for (const position of this.#generated) if (position >= length) this.#generated.delete(position);
    });
  }

  #fullError(nNew: number): RequestError {
    return new RequestError("request.context", {
      path: "tokens",
      expected: `a sequence has at most ${this.contextLength} tokens (the session's context length)`,
      got: `${this.#tokens.length} cached and ${nNew} new ones`,
      remedy: "Shorten the text.",
    });
  }

  #checkOpen(): void {
    if (!this.#closed) return;
    throw new RequestError("request.option", { path: "session", expected: "the session must be open", got: "closed" });
  }
}
