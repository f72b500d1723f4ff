import { PointError, suggest } from "../errors.ts";
import type { PlannedRead } from "../glass/plan.ts";
import type { Recorded } from "../glass/recording.ts";
import type { FloatArray } from "../tensor/dtype.ts";
import { numel } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { noMean } from "./record-moments.ts";
import { type EditCount, type SequenceRows, type StepResult, sumOfCounts } from "./step-result.ts";

/**
 * What one step gave. Its tensors are laid out when they are asked for; they belong to the caller and outlive the
 * model. Small ones of one step may lie in one ArrayBuffer: copy what is to be kept for long, or to be transferred, with
 * `data.slice()`. What was read can be put into other runs: `{ at: "L3.H2", patch: run }`.
 */
export class Run implements Recorded {
  /** Each sequence's tokens of this step and their positions [start, end). */
  readonly sequences: readonly SequenceRows[];
  readonly #step: StepResult;
  /** The step's sequence that is the run's first. */
  readonly #first: number;
  /** What has been asked for; each is laid out once. By sequence: */
  readonly #tensors = new Map<PlannedRead | undefined, Tensor[]>();
  /** Logits of all sequences, and results of views, by name: */
  readonly #whole = new Map<string, Tensor>();

  constructor(step: StepResult, first = 0, nSequences = step.sequences.length) {
    this.sequences = step.sequences.slice(first, first + nSequences);
    this.#step = step;
    this.#first = first;
  }

  /** [R, vocabSize] for the wanted rows of all sequences, one after another; all rows unless asked otherwise. */
  get logits(): Tensor<FloatArray> {
    if (!this.#step.hasLogits) {
      throw new PointError("point.absent", {
        path: "logits",
        expected: "logits are there when they were asked for",
        got: 'logits: "none"',
      });
    }
    const { length } = this.sequences;
    return this.#once("logits", () => this.#step.logits(this.#first, length)) as Tensor<FloatArray>;
  }

  /** Canonical names of all points that this run has. */
  get points(): string[] {
    const names = new Set(this.#step.plan.reads.map(({ entry }) => entry.name));
    if (this.#step.hasLogits) names.add("logits");
    return [...names];
  }

  /** For each point read, the number of rows that it gave, over all sequences. */
  get fired(): Readonly<Record<string, number>> {
    const { length } = this.sequences;
    return Object.fromEntries(
      this.#step.plan.reads.map((read) => [read.entry.name, this.#step.nFired(read, this.#first, length)]),
    );
  }

  /** For each edit of the run, the number of rows that it changed, over all sequences. */
  get edited(): EditCount[] {
    return sumOfCounts(this.sequences.flatMap((_, sequence) => this.#step.edited(this.#first + sequence)));
  }

  /** The tokens of the first sequence. */
  get tokens(): readonly number[] {
    return this.sequences[0].tokens;
  }

  /**
   * A point that was read, by any of its names, or the piece of it that an address means: `get("L5.N12")` is [T], the
   * neuron's value at each row. `before` for what it was before its edits, where that was read. A batch holds one tensor for each
   * sequence: say which.
   * @throws PointError for a point that was not read, or a sequence that the batch does not have.
   */
  get(point: string, { sequence, before = false }: { sequence?: number; before?: boolean } = {}): Tensor {
    const isLogits = point === "logits" && this.#step.hasLogits && !before;
    const found = isLogits ? undefined : this.#step.find(point, before);
    if (found === undefined && !isLogits) throw this.#absentError(point);
    const index = this.#checkedSequence(point, sequence);
    const tensor = this.#of(found?.read, index);
    return found === undefined || found.index.length === 0 ? tensor : pieceOf(tensor, found.read, found.index);
  }

  /**
   * Positions of the rows that `get` gives of a point: of a part of one expert, those of the tokens that went to it.
   * @throws PointError as `get`
   */
  positions(point: string, { sequence }: { readonly sequence?: number } = {}): readonly number[] {
    const found = this.#step.find(point, false);
    if (found === undefined) throw this.#absentError(point);
    return this.#step.positions(found.read, this.#first + this.#checkedSequence(point, sequence));
  }

  /** Position of the first row that `get` gives of a point, whose rows follow one another. */
  start(point: string, sequence: number): number {
    const found = this.#step.find(point, false);
    if (found === undefined) throw this.#absentError(point);
    if (found.read.entry.ofExpert !== undefined) {
      throw new PointError("point.positions", {
        path: point,
        expected: "rows of a point with a start follow one another",
        got: "those whose tokens went to the expert",
        remedy: "run.positions(point) has their positions.",
      });
    }
    return this.#step.firstPosition(found.read, this.#first + sequence);
  }

  /**
   * Mean over all rows of a point that was read, of all sequences: [...], the shape of one row.
   * @throws PointError for what is laid out over keys, of which each row has another number.
   */
  mean(point: string): Tensor {
    const { entry, ragged } = this.#step.find(point, false)?.read ?? {};
    if (entry?.type === "int") throw noMean(point);
    if (ragged !== undefined) {
      const expected = "a mean is over rows that are alike";
      throw new PointError("point.positions", { path: point, expected, got: "rows with a key more each" });
    }
    const tensors = this.sequences.map((_, sequence) => this.get(point, { sequence }));
    const shape = tensors[0].shape.slice(1);
    const sums = new Float64Array(numel(shape));
    let nRows = 0;
    for (const { shape, data } of tensors) {
      nRows += shape[0];
      data.forEach((value, i) => {
        sums[i % sums.length] += value;
      });
    }
    if (nRows === 0) {
      const expected = "a mean is over at least one row";
      throw new PointError("point.positions", { path: point, expected, got: "no token that went to the expert" });
    }
    return new Tensor(
      shape,
      sums.map((total) => total / nRows),
    );
  }

  /** The run of `nSequences` of the batch's sequences, as if they had been run alone. */
  part(first: number, nSequences: number): Run {
    return new Run(this.#step, this.#first + first, nSequences);
  }

  /** A result that a view computed on the tape, by the name it gave it. */
  derived(name: string): Tensor {
    return this.#once(name, () => this.#step.derived(name));
  }

  /** Which sequence is meant: the only one unless it is said. */
  #checkedSequence(point: string, sequence: number | undefined): number {
    const { length } = this.sequences;
    if (sequence === undefined && length > 1) {
      throw sequenceError(point, "a batch needs { sequence: i }", "none");
    }
    const index = sequence ?? 0;
    if (this.sequences[index] !== undefined) return index;
    throw sequenceError(point, `sequence must be 0 to ${length - 1}`, `${sequence}`);
  }

  #once(name: string, layOut: () => Tensor): Tensor {
    const tensor = this.#whole.get(name) ?? layOut();
    this.#whole.set(name, tensor);
    return tensor;
  }

  /** Of a read, or of the logits, which are there without one. */
  #of(read: PlannedRead | undefined, sequence: number): Tensor {
    const tensors = this.#tensors.get(read) ?? [];
    this.#tensors.set(read, tensors);
    const index = this.#first + sequence;
    tensors[sequence] ??= read === undefined ? this.#step.logits(index, 1) : this.#step.read(read, index);
    return tensors[sequence];
  }

  #absentError(point: string): PointError {
    const { points } = this;
    return new PointError("point.absent", {
      path: point,
      expected: "a point must be read to be there",
      got: points.length === 0 ? "no reads" : `reads of ${points.slice(0, 6).join(", ")}`,
      remedy: `${points.length === 0 ? "" : `${suggest(point, points)} `}Add it to read: [...].`,
    });
  }
}

/** Of each row one piece; of scores and weights [nHeads, T, S] those of one head, or its weights of one key. */
function pieceOf({ shape, data }: Tensor, { ragged }: PlannedRead, index: readonly number[]): Tensor {
  // Axes that come before the indexed ones stay; so do those between and after.
  const axes = ragged === undefined ? index.map((_, i) => i + 1) : [0, 2].slice(0, index.length);
  const kept = shape.filter((_, axis) => !axes.includes(axis));
  const piece = new (data.constructor as Float32ArrayConstructor)(numel(kept));
  const strides = shape.map((_, axis) => numel(shape.slice(axis + 1)));
  const from = axes.reduce((at, axis, i) => at + index[i] * strides[axis], 0);
  const keptStrides = strides.filter((_, axis) => !axes.includes(axis));
  for (let i = 0; i < piece.length; i++) {
    let [at, rest] = [from, i];
    for (let axis = kept.length - 1; axis >= 0; axis--) {
      at += (rest % kept[axis]) * keptStrides[axis];
      rest = Math.floor(rest / kept[axis]);
    }
    piece[i] = data[at];
  }
  return new Tensor(kept, piece);
}

function sequenceError(path: string, expected: string, got: string): PointError {
  return new PointError("point.positions", { path, expected, got });
}
