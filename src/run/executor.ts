import type { Engine, Program } from "../backends/contract.ts";
import { type RopeConfig, ropeVariant } from "../config/rope.ts";
import { RequestError } from "../errors.ts";
import type { AlignedEdits, EditSlots } from "../glass/edit.ts";
import { type Derived, type GlassPlan, planGlass, type Read } from "../glass/plan.ts";
import { pointsSeenByOthers } from "../glass/seen-by-others.ts";
import type { PointCatalog } from "../points/catalog.ts";
import { type Positions, resolvePositions } from "../points/read-spec.ts";
import type { Op } from "../tape/op.ts";
import { Rows } from "../tape/rows.ts";
import type { StepInputs } from "../tape/sizes.ts";
import type { Tape } from "../tape/tape.ts";
import type { Value } from "../tape/value.ts";
import type { Precision } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { checkBudget } from "./budget.ts";
import { changedRows } from "./edit-counts.ts";
import { editInputs } from "./edit-inputs.ts";
import { PagePool, Sequence } from "./kv-pages.ts";
import type { LogitRows } from "./options.ts";
import { Run } from "./result.ts";
import { runParts } from "./run-parts.ts";
import { type SequenceRows, StepResult } from "./step-result.ts";

export interface StepRequest {
  readonly logits: LogitRows;
  readonly reads: readonly Read[];
  readonly edits: EditSlots;
  readonly derived?: Derived;
  /** False where the sequences are not continued, so that layers beyond what is read need not run. */
  readonly keepsState: boolean;
}

/** Tokens to append to one sequence in a step. */
export interface Append {
  readonly sequence: Sequence;
  readonly tokens: readonly number[];
  /** In the slots of the step's request. */
  readonly edits: AlignedEdits;
  readonly isGenerated: (position: number) => boolean;
}

/** Runs a function of a caller while the engine may serve others. */
export type Aside = <T>(call: () => T | Promise<T>) => Promise<T>;

interface Compiled {
  readonly plan: GlassPlan;
  /** Of the plan's parts. */
  readonly programs: readonly Program[];
}

export interface ExecutorModel {
  readonly tape: Tape;
  readonly unembed: (resid: Value) => Value;
  /** Inner points that the backend's kernels can store on the side. */
  readonly taps: (op: Op) => readonly string[];
  readonly catalog: () => PointCatalog;
  readonly engine: Engine;
  readonly precision: Precision;
  readonly vocabSize: number;
  readonly contextLength: number;
  /** Undefined where positions are not rotary. */
  readonly rope: RopeConfig | undefined;
}

/** Runs steps of one model: plans and compiles each kind of request once. One step at a time; see `Scheduler`. */
export class Executor {
  readonly #model: ExecutorModel;
  readonly #pages = new PagePool();
  readonly #programs = new Map<string, Compiled>();
  /** A number for each list of reads, equal for equal ones: the part of a request's kind that its reads make up. */
  readonly #readKinds = new WeakMap<readonly Read[], number>();
  readonly #kindsOfReads = new Map<string, number>();
  #nReadKinds = 0;
  #seenByOthers: ReadonlySet<string> | undefined;

  constructor(model: ExecutorModel) {
    this.#model = model;
  }

  /** Pages of the cache that sequences hold. */
  get nPagesInUse(): number {
    return this.#pages.nPages - this.#pages.nFreePages;
  }

  /** Whether a change of a point at one row can change anything at others. */
  isSeenByOthers(point: string): boolean {
    this.#seenByOthers ??= pointsSeenByOthers(this.#model.tape);
    return this.#seenByOthers.has(point);
  }

  /** A sequence that is to hold `length` tokens. */
  newSequence(length: number): Sequence {
    return new Sequence(this.#pages, ropeVariant(this.#model.rope, length));
  }

  /** Equal for requests that one program serves, so that their sequences can share a step. */
  kindOf({ logits, reads, derived, keepsState, edits }: StepRequest): string {
    return `${logits} ${keepsState} ${this.#readKind(reads)} ${edits.key} ${derived?.key}`;
  }

  #readKind(reads: readonly Read[]): number {
    const known = this.#readKinds.get(reads);
    if (known !== undefined) return known;
    const points = JSON.stringify(reads.map(({ entry, positions, before }) => [entry.name, positions, before]));
    const kind = this.#kindsOfReads.get(points) ?? this.#nReadKinds++;
    if (this.#kindsOfReads.size >= MAX_PROGRAMS) this.#kindsOfReads.clear();
    this.#kindsOfReads.set(points, kind);
    this.#readKinds.set(reads, kind);
    return kind;
  }

  /** Refuses tokens that cannot be run, before anything is computed. */
  check({ sequence, tokens }: Append): void {
    checkTokens(tokens, this.#model.vocabSize);
    const { contextLength } = this.#model;
    if (sequence.length + tokens.length <= contextLength) return;
    throw new RequestError("request.context", {
      path: "tokens",
      expected: `a sequence has at most ${contextLength} tokens (the model's context length)`,
      got: `${sequence.length} cached and ${tokens.length} new ones`,
      remedy: "Shorten the text.",
    });
  }

  /**
   * Runs checked tokens as the next rows of their sequences. The sequences' lengths are the caller's to advance, so
   * that a step that fails or is not wanted any more leaves them as they were.
   */
  async step(appends: readonly Append[], request: StepRequest, aside: Aside, signal?: AbortSignal): Promise<Run> {
    const compiled = this.#compiled(request);
    const { plan } = compiled;
    const { engine, precision } = this.#model;
    const rows = rowsOf(appends);
    const sequences = appends.map(({ sequence, tokens, edits, isGenerated }) => ({
      tokens,
      start: sequence.length,
      end: sequence.length + tokens.length,
      edits,
      isGenerated,
    }));
    const step = stepInputs(plan, rows, sequences, appends, request.logits);
    checkBudget(plan, step, precision);
    const logitRows = step.ints.get("R0") as Int32Array;
    const edits = editInputs(plan.edits.slots, plan.tape, rows, sequences, logitRows, precision);
    const copies = appends.flatMap(({ sequence, tokens }) => sequence.reserve(sequence.length + tokens.length));
    engine.reserve(this.#pages.nPages);
    engine.copyPages(copies);
    const ints = new Map([...step.ints, ...edits.ints, ...Object.entries(request.derived?.ints ?? {})]);
    const given = { rows, ints, floats: edits.floats };
    const stopped = { slots: plan.edits.slots, rows, sequences, logitRows, aside };
    const outputs = await runParts(engine, compiled, given, stopped, signal);
    const { logits } = request;
    const changed = changedRows(edits, outputs);
    return new Run(new StepResult({ plan, outputs, sequences, rows, logits, changed, catalog: this.#model.catalog }));
  }

  /** Runs a tape over weights and inputs alone, without rows of any sequence. */
  async evaluate(
    tape: Tape,
    ints: ReadonlyMap<string, Int32Array>,
    floats: Readonly<Record<string, ArrayLike<number>>>,
  ): Promise<ReadonlyMap<string, Tensor>> {
    const { engine, precision } = this.#model;
    const FloatData = precision === "f32" ? Float32Array : Float64Array;
    const entries = Object.entries(floats).map(([name, data]) => [name, FloatData.from(data)] as const);
    const program = engine.compile(tape);
    try {
      const outputs = await engine.run(program, { rows: new Rows([]), ints, floats: new Map(entries) });
      return new Map([...outputs].map(([name, { shape, data }]) => [name, new Tensor(shape, data)]));
    } finally {
      engine.release(program);
    }
  }

  #compiled(request: StepRequest): Compiled {
    const { logits, reads, edits, derived, keepsState } = request;
    const key = this.kindOf({ ...request, logits: logits === "last" ? "all" : logits });
    const known = this.#programs.get(key);
    if (known !== undefined) return known;
    const { tape, unembed, taps, engine } = this.#model;
    const plan = planGlass(tape, unembed, taps, { logits: logits !== "none", reads, edits, derived, keepsState });
    const compiled = { plan, programs: plan.parts.map((part) => engine.compile(part.tape)) };
    this.#dropOldest();
    this.#programs.set(key, compiled);
    return compiled;
  }

  #dropOldest(): void {
    const [oldest] = this.#programs;
    if (oldest === undefined || this.#programs.size < MAX_PROGRAMS) return;
    const [key, { programs }] = oldest;
    this.#programs.delete(key);
    for (const program of programs) this.#model.engine.release(program);
  }
}

/** Kinds of request whose programs are kept; the oldest goes first. */
const MAX_PROGRAMS = 64;

function checkTokens(tokens: readonly number[], vocabSize: number): void {
  if (tokens.length === 0) {
    throw new RequestError("request.tokens", {
      path: "tokens",
      expected: "a sequence needs at least one token",
      got: "none",
      remedy: "Give a text or token ids; a model with a BOS token can start from that alone.",
    });
  }
  const wrong = tokens.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabSize);
  if (wrong === undefined) return;
  throw new RequestError("request.tokens", {
    path: "tokens",
    expected: `token ids are integers from 0 to ${vocabSize - 1}`,
    got: `${wrong}`,
  });
}

function rowsOf(appends: readonly Append[]): Rows {
  return new Rows(
    appends.map(({ sequence, tokens }) => ({
      // The sequence's own list, which grows once the step is known to be allowed.
      pages: sequence.pages,
      start: sequence.length,
      nRows: tokens.length,
      ropeVariant: sequence.ropeVariant,
    })),
  );
}

function stepInputs(
  plan: GlassPlan,
  rows: Rows,
  sequences: readonly SequenceRows[],
  appends: readonly Append[],
  logits: LogitRows,
): StepInputs {
  const ints = new Map<string, Int32Array>();
  ints.set("tokens", Int32Array.from(appends.flatMap(({ tokens }) => tokens)));
  ints.set("R0", selectedRows(rows, sequences, logits === "last" ? -1 : "all", "logits"));
  for (const [name, { positions, path }] of plan.selections) {
    ints.set(name, selectedRows(rows, sequences, positions, path));
  }
  return { rows, ints };
}

/** Indices of the step's rows at these positions of each sequence. */
function selectedRows(rows: Rows, sequences: readonly SequenceRows[], positions: Positions, path: string): Int32Array {
  const { firstRows } = rows;
  return Int32Array.from(
    sequences.flatMap(({ start, end }, s) => {
      const [from, to] = resolvePositions(positions, start, end, path);
      return Array.from({ length: to - from }, (_, i) => firstRows[s] + from - start + i);
    }),
  );
}
