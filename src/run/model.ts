import type { ModelTape } from "../architectures/architecture.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { CheckpointError, PointError, RequestError } from "../errors.ts";
import { alignEdits, type Edit } from "../glass/edit.ts";
import type { EditSpec } from "../glass/edit-spec.ts";
import { type Derived, type Read, readName } from "../glass/plan.ts";
import type { Host } from "../host.ts";
import { type ParsedAddress, parseAddress } from "../points/address.ts";
import type { Point, PointCatalog } from "../points/catalog.ts";
import { weightLeaf } from "../points/derive.ts";
import { type Positions, parseRead, type ReadSpec } from "../points/read-spec.ts";
import { buildTape } from "../tape/builder.ts";
import type { Tape } from "../tape/tape.ts";
import type { Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ChatTemplate } from "../tokenizer/chat-template.ts";
import { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Bindings } from "../weights/bind.ts";
import { type Chat, ChatEncoder, isChat, type Prompt } from "./chat.ts";
import { editFiles } from "./edit-files.ts";
import { EditList, inSequence } from "./edit-list.ts";
import type { Texts } from "./files.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { GenerateOptions, GenerationStep } from "./generate.ts";
import {
  checkAppendOptions,
  checkChoice,
  checkList,
  checkOptions,
  checkRunOptions,
  type RunOptions,
} from "./options.ts";
import { progressOf } from "./progress.ts";
import { readTensors } from "./read-tensors.ts";
import { record } from "./record.ts";
import type { RecordOptions } from "./record-options.ts";
import type { Recording } from "./recording.ts";
import type { Run } from "./result.ts";
import type { Runtimes } from "./runtime.ts";
import { Session, type SessionOptions } from "./session.ts";
import { type SweepOptions, sweep } from "./sweep.ts";
import { reportWeight, type WeightReport } from "./weight-report.ts";

/** One sequence, or several to run in one step. */
export type RunInput = Prompt | readonly string[] | readonly Chat[] | readonly (readonly number[])[];

/** What a tape over weights alone is built from. */
export interface WeightScope extends Pick<ModelTape, "unembed" | "readout" | "logitDirections" | "finalDivisor"> {
  weight(name: string): Value;
}

export interface ModelParts {
  readonly name: string;
  readonly config: ModelConfig;
  readonly architecture: string;
  readonly runtimes: Runtimes;
  readonly bindings: Bindings;
  readonly checkpoint: Checkpoint;
  /** Worked out when somebody asks for points. */
  readonly catalog: () => PointCatalog;
  readonly texts: Texts;
  readonly host: Host;
  readonly chatTemplate: ChatTemplate;
  readonly backend: string;
  readonly ignoredKeys: readonly string[];
  readonly close: () => Promise<void>;
}

/** An open checkpoint, ready to run and to be looked into. Made by `open`. */
export class Model {
  readonly #parts: ModelParts;
  /** What lists of reads stand for; generating asks for the same one in every step. */
  readonly #resolved = new Map<string, readonly Read[]>();
  #chatEncoder: ChatEncoder | undefined;
  #fingerprint: Promise<string> | undefined;

  constructor(parts: ModelParts) {
    this.#parts = parts;
  }

  /** The directory or file that it was opened from. */
  get name(): string {
    return this.#parts.name;
  }

  get architecture(): string {
    return this.#parts.architecture;
  }

  get backend(): string {
    return this.#parts.backend;
  }

  get config(): ModelConfig {
    return this.#parts.config;
  }

  /** The model as a tensor program; `printTape` shows it. */
  get tape(): Tape {
    return this.#parts.runtimes.get("f32").modelTape.tape;
  }

  /** Where each weight lies in the checkpoint, and the tensors that are left out, with the reason. */
  get bindings(): Bindings {
    return this.#parts.bindings;
  }

  /** Keys of config.json that were ignored on request. */
  get ignoredKeys(): readonly string[] {
    return this.#parts.ignoredKeys;
  }

  get hasTokenizer(): boolean {
    return this.#parts.texts.tokenizer instanceof Tokenizer;
  }

  /** @throws CheckpointError where the checkpoint has no tokenizer that golgi can use; it then takes token ids only. */
  get tokenizer(): Tokenizer {
    const { name, texts } = this.#parts;
    const { tokenizer } = texts;
    if (tokenizer instanceof Tokenizer) return tokenizer;
    if (tokenizer !== undefined) throw tokenizer;
    throw new CheckpointError("checkpoint.tokenizer", {
      path: name,
      expected: "text needs a tokenizer.json beside the weights",
      got: "none",
      remedy: "Give token ids instead, or put the model's tokenizer.json there.",
    });
  }

  /** Tokens that end a text, by the model's own files. */
  get eosTokens(): readonly number[] {
    return this.#parts.texts.eosTokens;
  }

  /** How messages become a text; without names where the model's files hold no template. */
  get chatTemplate(): ChatTemplate {
    return this.#parts.chatTemplate;
  }

  /** The tokens that `run` and `generate` take a prompt for. */
  encode(prompt: Prompt): readonly number[] {
    if (typeof prompt === "string") return this.tokenizer.encode(prompt);
    if (!isChat(prompt)) return prompt;
    this.#chatEncoder ??= new ChatEncoder(this.chatTemplate, this.tokenizer);
    return this.#chatEncoder.encode(prompt);
  }

  /** Every point of this model. */
  points(): Point[] {
    return this.#parts.catalog().entries.map(({ row: _row, layer: _layer, ...point }) => point);
  }

  /** The components that an address such as `L5.H3` names, and its positions. */
  address(text: string): ParsedAddress {
    return parseAddress(text, this.#parts.catalog());
  }

  /** The reads that names and globs stand for, each point once; the last mention of a point decides its positions. */
  resolveReads(specs: readonly ReadSpec[]): readonly Read[] {
    const key = JSON.stringify(specs);
    const known = this.#resolved.get(key);
    if (known !== undefined) return known;
    const reads = this.#resolve(specs);
    if (this.#resolved.size >= MAX_RESOLVED) this.#resolved.clear();
    this.#resolved.set(key, reads);
    return reads;
  }

  #resolve(specs: readonly ReadSpec[]): readonly Read[] {
    const reads = new Map<string, Read>();
    for (const spec of specs) {
      const { pattern, positions, before } = parseRead(spec);
      for (const entry of this.#parts.catalog().match(pattern)) {
        if (entry.shape[0] === "R" && positions !== "all") throw rowsOfLogits(entry.name, positions);
        reads.set(readName(entry.name, before), { entry, positions, before });
      }
    }
    return [...reads.values()];
  }

  /** Runs one sequence or a batch in a single step, and gives logits and what was read. */
  run(input: RunInput, options: RunOptions = {}): Promise<Run> {
    return this.runDerived(input, undefined, options);
  }

  /** As `run`, with results that a view computes on the tape. */
  async runDerived(input: RunInput, derived: Derived | undefined, options: RunOptions = {}): Promise<Run> {
    const { executor, scheduler } = this.#parts.runtimes.get("f32");
    const { read, logits, signal, edits, generatedFrom } = checkRunOptions("run", options);
    const texts = this.#sequences(input);
    const reads = this.resolveReads(read);
    const { slots, aligned } = alignEdits(await this.#editsOf(texts, edits, generatedFrom));
    const isGenerated = (position: number): boolean => position >= generatedFrom;
    const appends = texts.map((tokens, i) => ({
      sequence: executor.newSequence(tokens.length),
      tokens,
      edits: aligned[i],
      isGenerated,
    }));
    try {
      const request = { logits, reads, edits: slots, derived, keepsState: false };
      return await scheduler.step(appends, request, signal);
    } finally {
      for (const { sequence } of appends) sequence.release();
    }
  }

  /**
   * Runs one text once for each list of edits (and each of `positions`, where they are given), many in a step. What
   * precedes the first edited position is computed once for all, so a run has the rows from there on only; where only the
   * last logits are asked for, edits that cannot reach them share one run without edits.
   */
  async *sweep(
    input: Prompt,
    edits: readonly (readonly EditSpec[])[],
    { onProgress, positions, ...options }: SweepOptions = {},
  ): AsyncGenerator<Run, void, undefined> {
    const { read, logits, signal } = checkAppendOptions("sweep", options);
    checkList("sweep: edits", edits, "lists of edits");
    for (const list of edits) checkList("sweep: edits", list, "edits");
    if (positions !== undefined) checkList("sweep: positions", positions, "positions");
    const { host, runtimes } = this.#parts;
    const tokens = this.encode(input);
    const lists = edits.map((list) => this.#editList(list));
    const progress = progressOf(host, lists.length * (positions?.length ?? 1), onProgress);
    const request = { logits, reads: this.resolveReads(read), signal };
    yield* sweep(tokens, lists, positions, request, progress, runtimes.get("f32"));
  }

  /** All tensors of a safetensors file that a view needs beside the model, such as a tuned lens, in float32. */
  readTensors(file: string): Promise<Readonly<Record<string, Tensor>>> {
    return readTensors(this.#parts.host, file);
  }

  /** Runs texts and keeps values of points, or what they are reduced to, in memory or in a file. */
  record(texts: readonly Prompt[], options: RecordOptions): Promise<Recording> {
    return record(this, this.#parts.host, texts, options);
  }

  /**
   * The weights of a component, in the numbers that the engine computes with, and where they lie: a neuron (`L5.N3`), a head
   * (`L5.H3`), a block's `L5.mlp` or `L5.attn`, a weight by golgi's name or the file's (`embed`), or a row of it (`embed[7]`).
   * @throws PointError, RequestError
   */
  weight(address: string): Promise<WeightReport> {
    return reportWeight(address, this.#parts);
  }

  /** Tells models apart: what `fingerprintOf` takes in. Reads a few kilobytes of each tensor. */
  fingerprint(): Promise<string> {
    const { architecture, config, bindings, checkpoint } = this.#parts;
    this.#fingerprint ??= fingerprintOf(architecture, config, bindings, checkpoint);
    return this.#fingerprint;
  }

  /**
   * Evaluates a small tape over the model's weights: `build` adds to it and names its outputs; `ints` and `floats`
   * supply the inputs that it declares.
   */
  evaluate(
    build: (scope: WeightScope) => Readonly<Record<string, Value>>,
    ints: Readonly<Record<string, Int32Array>> = {},
    floats: Readonly<Record<string, ArrayLike<number>>> = {},
  ): Promise<ReadonlyMap<string, Tensor>> {
    const { modelTape, executor, scheduler } = this.#parts.runtimes.get("f32");
    const scope: WeightScope = {
      weight: (name) => weightLeaf(modelTape.tape, name),
      readout: (vector) => modelTape.readout(vector),
      logitDirections: (tokens) => modelTape.logitDirections(tokens),
      finalDivisor: (resid) => modelTape.finalDivisor(resid),
      unembed: (resid) => modelTape.unembed(resid),
    };
    const tape = buildTape("weights", () => build(scope));
    return scheduler.exclusive(() => executor.evaluate(tape, new Map(Object.entries(ints)), floats));
  }

  /** Of each sequence its edits, at positions that count from 0. */
  async #editsOf(
    texts: readonly (readonly number[])[],
    edits: NonNullable<RunOptions["edits"]>,
    generatedFrom: number,
  ): Promise<readonly (readonly Edit[])[]> {
    const isForEach = edits.length > 0 && edits.every((list) => Array.isArray(list));
    if (isForEach && edits.length !== texts.length) {
      throw new RequestError("request.option", {
        path: "run: edits",
        expected: "there must be one list for all sequences, or a list for each",
        got: `${edits.length} lists for ${texts.length} sequences`,
      });
    }
    const lists = (isForEach ? edits : [edits]).map((list) => this.#editList(list as readonly EditSpec[]));
    const resolved = await Promise.all(lists.map((list) => list.resolve()));
    return texts.map((tokens, i) =>
      resolved[isForEach ? i : 0].map((edit) => inSequence(edit, tokens.length, generatedFrom)),
    );
  }

  #editList(specs: readonly EditSpec[]): EditList {
    return new EditList(
      specs,
      this.#parts.catalog,
      editFiles(this.#parts.host, () => this.fingerprint()),
    );
  }

  /** A sequence that keeps its keys and values between calls. */
  session(options: SessionOptions = {}): Session {
    return this.#newSession(options, options.contextLength ?? this.config.contextLength);
  }

  /** A session that is to hold `length` tokens of the many that it may hold. */
  #newSession(options: SessionOptions, length: number): Session {
    checkOptions("session", options, ["contextLength", "kv", "edits"]);
    const { runtimes, config } = this.#parts;
    const { contextLength = config.contextLength, kv = "f32", edits = [] } = options;
    checkList("session: edits", edits, "edits");
    checkChoice("session: kv", kv, ["f32", "f16"]);
    const { executor, scheduler } = runtimes.get(kv);
    if (!Number.isInteger(contextLength) || contextLength < 1 || contextLength > config.contextLength) {
      throw new RequestError("request.option", {
        path: "session: contextLength",
        expected: `must be an integer from 1 to ${config.contextLength}, the model's context length`,
        got: `${contextLength}`,
      });
    }
    const list = this.#editList(edits);
    list.checkGrowing();
    return new Session(this, scheduler, executor.newSequence(length), { contextLength, edits: list });
  }

  /** Continues a text, token ids or a conversation, one step a token. */
  async *generate(
    input: Prompt,
    { edits, ...options }: GenerateOptions & Pick<SessionOptions, "edits"> = {},
  ): AsyncGenerator<GenerationStep, void, undefined> {
    const tokens = this.encode(input);
    const session = this.#newSession({ edits }, tokens.length + (options.maxTokens ?? this.config.contextLength));
    try {
      yield* session.generate(tokens, options);
      session.checkEdited();
    } finally {
      session.close();
    }
  }

  /** Releases files and memory. Tensors that were returned stay valid. */
  close(): Promise<void> {
    return this.#parts.close();
  }

  #sequences(input: RunInput): readonly (readonly number[])[] {
    if (typeof input === "string" || isChat(input)) return [this.encode(input)];
    if (input.length === 0) {
      throw new RequestError("request.tokens", {
        path: "input",
        expected: "there must be something to run",
        got: "[]",
      });
    }
    if (typeof input[0] === "number") return [input as readonly number[]];
    return (input as readonly Prompt[]).map((one) => this.encode(one));
  }
}

/** Lists of reads that are remembered. */
const MAX_RESOLVED = 64;

/** The rows of these points are a selection already. */
function rowsOfLogits(path: string, positions: Positions): PointError {
  return new PointError("point.positions", {
    path,
    expected: "the rows of logits and probs are those of the logits option",
    got: `positions ${JSON.stringify(positions)}`,
    remedy: 'Read it without positions, and set logits: "last" or "all".',
  });
}
