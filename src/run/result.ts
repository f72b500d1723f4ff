import type { StepOutput } from "../backends/contract.ts";
import { PointError, suggest } from "../errors.ts";
import { type GlassPlan, type PlannedRead, raggedWindow } from "../glass/plan.ts";
import { resolvePositions } from "../points/read-spec.ts";
import type { StepInputs } from "../tape/sizes.ts";
import type { FloatArray } from "../tensor/dtype.ts";
import { numel } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { LogitRows } from "./options.ts";

/** The part of a step that belongs to one sequence: positions [start, end). */
export interface SequenceRows {
  readonly tokens: readonly number[];
  readonly start: number;
  readonly end: number;
}

/** What one step gave. Its tensors belong to the caller and outlive the model. */
export class Run {
  /** Each sequence's tokens of this step and their positions [start, end). */
  readonly sequences: readonly SequenceRows[];
  /** For each point read, the number of rows that it gave, over all sequences. */
  readonly fired: Readonly<Record<string, number>>;
  readonly #logits: Tensor<FloatArray> | undefined;
  readonly #points: ReadonlyMap<string, readonly Tensor[]>;
  readonly #aliases: ReadonlyMap<string, string>;
  readonly #derived: ReadonlyMap<string, Tensor>;
  /** The axis of each point's tensors that counts rows. */
  readonly #rowAxes: ReadonlyMap<string, number>;

  constructor(parts: {
    sequences: readonly SequenceRows[];
    fired: Readonly<Record<string, number>>;
    logits: Tensor<FloatArray> | undefined;
    points: ReadonlyMap<string, readonly Tensor[]>;
    aliases: ReadonlyMap<string, string>;
    derived: ReadonlyMap<string, Tensor>;
    rowAxes: ReadonlyMap<string, number>;
  }) {
    this.sequences = parts.sequences;
    this.fired = parts.fired;
    this.#logits = parts.logits;
    this.#points = parts.points;
    this.#aliases = parts.aliases;
    this.#derived = parts.derived;
    this.#rowAxes = parts.rowAxes;
  }

  /** [R, vocabSize] for the wanted rows of all sequences, one after another; all rows unless asked otherwise. */
  get logits(): Tensor<FloatArray> {
    if (this.#logits !== undefined) return this.#logits;
    throw new PointError("point.absent", {
      path: "logits",
      expected: "logits are there when they were asked for",
      got: 'logits: "none"',
    });
  }

  /** Canonical names of all points that this run has. */
  get points(): string[] {
    return [...this.#points.keys()];
  }

  /** The tokens of the first sequence. */
  get tokens(): readonly number[] {
    return this.sequences[0].tokens;
  }

  /**
   * A point that was read, by any of its names. A batch holds one tensor for each sequence: say which.
   * @throws PointError for a point that was not read, or a sequence that the batch does not have.
   */
  get(point: string, { sequence }: { sequence?: number } = {}): Tensor {
    const name = this.#aliases.get(point) ?? point;
    const tensors = this.#points.get(name);
    if (tensors === undefined) {
      throw new PointError("point.absent", {
        path: point,
        expected: "a point must be read to be there",
        got: this.#points.size === 0 ? "no reads" : `reads of ${this.points.slice(0, 6).join(", ")}`,
        remedy: `${this.#points.size === 0 ? "" : `${suggest(point, this.points)} `}Add it to read: [...].`,
      });
    }
    if (sequence === undefined && tensors.length > 1) {
      throw this.#sequenceError(point, "a batch needs { sequence: i }", "none");
    }
    const tensor = tensors[sequence ?? 0];
    if (tensor === undefined) {
      throw this.#sequenceError(point, `sequence must be 0 to ${tensors.length - 1}`, `${sequence}`);
    }
    return tensor;
  }

  /** The run of `nSequences` of the batch's sequences, as if they had been run alone. */
  part(first: number, nSequences: number): Run {
    const slice = <T>(list: readonly T[]): readonly T[] => list.slice(first, first + nSequences);
    const points = new Map([...this.#points].map(([name, tensors]) => [name, slice(tensors)]));
    const logits = this.#logits && stack((points.get("logits") ?? []) as readonly Tensor<FloatArray>[]);
    const fired = Object.keys(this.fired).map((name): [string, number] => {
      const tensors = points.get(name) ?? [];
      return [name, tensors.reduce((sum, { shape }) => sum + shape[this.#rowAxes.get(name) ?? 0], 0)];
    });
    return new Run({
      sequences: slice(this.sequences),
      fired: Object.fromEntries(fired),
      logits,
      points,
      aliases: this.#aliases,
      derived: this.#derived,
      rowAxes: this.#rowAxes,
    });
  }

  /** A result that a view computed on the tape, by the name it gave it. */
  derived(name: string): Tensor {
    const tensor = this.#derived.get(name);
    if (tensor === undefined) throw new Error(`${name} was not derived`);
    return tensor;
  }

  #sequenceError(path: string, expected: string, got: string): PointError {
    return new PointError("point.positions", { path, expected, got });
  }
}

/** Lays out a step's outputs per sequence, and checks that every read gave exactly the rows it was to give. */
export function unpackStep(
  plan: GlassPlan,
  outputs: ReadonlyMap<string, StepOutput>,
  step: StepInputs,
  sequences: readonly SequenceRows[],
  logits: LogitRows,
): Run {
  const points = new Map<string, readonly Tensor[]>();
  const aliases = new Map<string, string>();
  const fired: Record<string, number> = {};
  const rowAxes = new Map<string, number>();
  for (const read of plan.reads) {
    const { name } = read.entry;
    const output = take(outputs, read.output);
    const nRows = rowsOfRead(read, sequences, logits);
    const total = nRows.reduce((sum, n) => sum + n, 0);
    const ragged = raggedWindow(read.value);
    const tensors = ragged === undefined ? split(output, nRows) : spread(output, read, nRows, step, sequences);
    fired[name] = tensors.reduce((sum, tensor) => sum + (tensor.shape[ragged === undefined ? 0 : 1] ?? 0), 0);
    if (fired[name] !== total || tensors.reduce((sum, t) => sum + t.data.length, 0) < output.data.length) {
      throw new PointError("point.firings", {
        path: name,
        expected: `the read must fire once for each of ${total} tokens`,
        got: `${fired[name]} rows, ${output.data.length} values`,
      });
    }
    points.set(name, tensors);
    rowAxes.set(name, ragged === undefined ? 0 : 1);
    for (const alias of read.entry.aliases) aliases.set(alias, name);
  }
  const all = outputs.get("logits");
  if (all !== undefined && !points.has("logits")) {
    points.set("logits", split(all, rowsPerSequence(sequences, logits)));
  }
  const reads = new Set(["logits", ...plan.reads.map(({ output }) => output)]);
  const derived = [...outputs].filter(([name]) => !reads.has(name));
  return new Run({
    sequences,
    fired,
    logits: all && new Tensor(all.shape, all.data as FloatArray),
    points,
    aliases,
    rowAxes,
    derived: new Map(derived.map(([name, { shape, data }]) => [name, new Tensor(shape, data)])),
  });
}

/** Tensors [n, width] under one another. */
function stack(tensors: readonly Tensor<FloatArray>[]): Tensor<FloatArray> {
  if (tensors.length === 1) return tensors[0];
  const nRows = tensors.reduce((sum, { shape }) => sum + shape[0], 0);
  const [, ...rest] = tensors[0].shape;
  const data = new (tensors[0].data.constructor as Float32ArrayConstructor)(nRows * numel(rest));
  let at = 0;
  for (const tensor of tensors) {
    data.set(tensor.data, at);
    at += tensor.data.length;
  }
  return new Tensor([nRows, ...rest], data);
}

function take(outputs: ReadonlyMap<string, StepOutput>, name: string): StepOutput {
  const output = outputs.get(name);
  if (output === undefined) throw new Error(`the backend gave no ${name}`);
  return output;
}

/** How many rows a read must give for each sequence. */
function rowsOfRead(
  { entry, positions }: PlannedRead,
  sequences: readonly SequenceRows[],
  logits: LogitRows,
): number[] {
  if (entry.shape[0] === "R") return rowsPerSequence(sequences, logits);
  return sequences.map(({ start, end }) => {
    const [from, to] = resolvePositions(positions, start, end, entry.name);
    return to - from;
  });
}

function rowsPerSequence(sequences: readonly SequenceRows[], logits: LogitRows): number[] {
  return sequences.map(({ start, end }) => (logits === "last" ? 1 : end - start));
}

/** One tensor for each sequence of a value with rows on its first axis. */
function split({ shape, data }: StepOutput, nRows: readonly number[]): Tensor[] {
  const width = numel(shape.slice(1));
  let at = 0;
  return nRows.map((n) => {
    const part = nRows.length === 1 ? data : data.slice(at * width, (at + n) * width);
    at += n;
    return new Tensor([n, ...shape.slice(1)], part);
  });
}

/** One dense tensor [nHeads, T, S] for each sequence of a value over visible (row, key) pairs. */
function spread(
  { shape, data }: StepOutput,
  read: PlannedRead,
  nRows: readonly number[],
  { rows }: StepInputs,
  sequences: readonly SequenceRows[],
): Tensor[] {
  const [nHeads = 0, nPairs = 0] = shape;
  const { first } = rows.visible(raggedWindow(read.value)?.window);
  const { firstRows } = rows;
  let pair = 0;
  return sequences.map(({ start, end }, s) => {
    const [from] = resolvePositions(read.positions, start, end, read.entry.name);
    const nKeys = from + nRows[s];
    const dense = new (data.constructor as Float32ArrayConstructor)(nHeads * nRows[s] * nKeys);
    dense.fill(read.entry.row.invisible ?? 0);
    for (let i = 0; i < nRows[s]; i++) {
      const position = from + i;
      const firstKey = first[firstRows[s] + position - start];
      const nVisible = position + 1 - firstKey;
      for (let h = 0; h < nHeads; h++) {
        const keys = data.subarray(h * nPairs + pair, h * nPairs + pair + nVisible);
        dense.set(keys, (h * nRows[s] + i) * nKeys + firstKey);
      }
      pair += nVisible;
    }
    return new Tensor([nHeads, nRows[s], nKeys], dense);
  });
}
