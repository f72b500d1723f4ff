import { PointError, suggest } from "../errors.ts";
import type { Recorded } from "../glass/recording.ts";
import type { Host } from "../host.ts";
import { resolvePositions } from "../points/read-spec.ts";
import { numel } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { noMean, rowMoments } from "./record-moments.ts";
import {
  firstRows,
  type RecordedPoint,
  type RecordedSequence,
  type RecordingPlan,
  type Reduce,
  reducedTensor,
  sequenceTensor,
} from "./recording-layout.ts";
import { putAll, writeRecording } from "./write-recording.ts";

/** What a recording is of. */
export interface Provenance {
  /** Version of golgi that recorded it. */
  readonly version: string;
  /** Name of its directory or file, without the path to it. */
  readonly model: string;
  readonly architecture: string;
  /** See `Model.fingerprint`. */
  readonly fingerprint: string;
  /** The edits under which it was recorded. */
  readonly edits: readonly string[];
}

/** The rows in which each element of a point is largest, in descending order: [k, ...] each; sequence −1 where there is none. */
export interface TopRows {
  readonly values: Tensor<Float32Array>;
  readonly sequences: Tensor<Int32Array>;
  readonly positions: Tensor<Int32Array>;
}

export interface RecordingContents {
  readonly plan: RecordingPlan;
  readonly provenance: Provenance;
  /** By the names of the layout. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Points of its file that are not loaded. */
  readonly unloaded: readonly string[];
}

/**
 * Values of points over many texts, or what they were reduced to, in float32. Made by `Model.record` and
 * `openRecording`. Tensors are views on its memory.
 */
export class Recording implements Recorded {
  readonly provenance: Provenance;
  /** Points of its file that are not loaded. */
  readonly unloaded: readonly string[];
  readonly #plan: RecordingPlan;
  readonly #points: ReadonlyMap<string, RecordedPoint>;
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly #firstRows = new Map<RecordedPoint, readonly number[]>();
  readonly #host: Host;

  constructor({ plan, provenance, tensors, unloaded }: RecordingContents, host: Host) {
    this.provenance = provenance;
    this.unloaded = unloaded;
    this.#plan = plan;
    this.#points = new Map(plan.points.map((point) => [point.name, point]));
    this.#tensors = tensors;
    this.#host = host;
  }

  get points(): string[] {
    return [...this.#points.keys()];
  }

  get sequences(): readonly RecordedSequence[] {
    return this.#plan.sequences;
  }

  get reduce(): Reduce | undefined {
    return this.#plan.reduce;
  }

  /** Of the model that it was recorded with; see `Model.fingerprint`. */
  get fingerprint(): string {
    return this.provenance.fingerprint;
  }

  /** The values of one sequence from `start(point, sequence)` on: [n, ...], of what is laid out over keys [nHeads, n, S]. */
  get(point: string, { sequence }: { readonly sequence?: number } = {}): Tensor {
    const found = this.#values(point);
    if (sequence === undefined && this.sequences.length > 1) {
      throw new PointError("point.positions", {
        path: point,
        expected: "a recording of several texts needs { sequence: i }",
        got: "none",
        remedy: "rows(point) has the rows of all texts.",
      });
    }
    const index = sequence ?? 0;
    this.#sequence(point, index);
    if (found.isOverKeys) return this.#tensor(sequenceTensor(point, index));
    const rows = this.#rowsOf(found);
    return rowsOf(this.#tensor(point), rows[index], rows[index + 1]);
  }

  /** The rows of all sequences, one sequence after another: [nRows, ...]. */
  rows(point: string): Tensor {
    const found = this.#values(point);
    if (found.isOverKeys) throw overKeys(point, "Take each sequence: get(point, { sequence: i }).");
    return this.#tensor(point);
  }

  start(point: string, sequence: number): number {
    const { positions } = this.#point(point);
    const { tokens } = this.#sequence(point, sequence);
    return resolvePositions(positions, 0, tokens.length, point)[0];
  }

  /** How many rows of a point were recorded. */
  nRows(point: string): number {
    return this.#rowsOf(this.#point(point)).at(-1) ?? 0;
  }

  /** Mean over all recorded rows, element by element. */
  mean(point: string): Tensor {
    return this.#moment(point, "mean");
  }

  /** Variance over all recorded rows, element by element: the mean of (x − mean)². */
  variance(point: string): Tensor {
    if (this.reduce === "mean") throw this.#reducedTo(point, "variance", 'Record with reduce: "variance".');
    return this.#moment(point, "variance");
  }

  /** The rows in which each element is largest, of a recording reduced to them. */
  top(point: string): TopRows {
    this.#point(point);
    if (typeof this.reduce !== "object") {
      throw this.#reducedTo(point, "largest rows", "Record with reduce: { topK: k }.");
    }
    return {
      values: this.#tensor(reducedTensor(point, "top")) as Tensor<Float32Array>,
      sequences: this.#tensor(reducedTensor(point, "top.sequence")) as Tensor<Int32Array>,
      positions: this.#tensor(reducedTensor(point, "top.position")) as Tensor<Int32Array>,
    };
  }

  /** Writes what is loaded as a safetensors file, in place of one that is there. The file is whole or not there. */
  async save(path: string): Promise<void> {
    if (this.#points.size === 0) {
      throw new PointError("point.absent", {
        path,
        expected: "a recording that is saved has points",
        got: "one whose points are all in its file, and not loaded",
        remedy: "Copy the file, or load it: openRecording(path).",
      });
    }
    await writeRecording(path, this.#host, this.#plan, this.provenance, (file) => putAll(this.#tensors, file));
  }

  #moment(point: string, what: "mean" | "variance"): Tensor {
    const { isOverKeys, dtype } = this.#point(point);
    if (dtype === "i32") throw noMean(point);
    if (typeof this.reduce === "string") return this.#tensor(reducedTensor(point, what));
    if (isOverKeys) throw overKeys(point, `There is no ${what} over them.`);
    return rowMoments(this.rows(point))[what];
  }

  #point(name: string): RecordedPoint {
    const point = this.#points.get(name);
    if (point !== undefined) return point;
    const isInFile = this.unloaded.includes(name);
    throw new PointError("point.absent", {
      path: name,
      expected: isInFile ? "a point of a recording's file must be loaded" : "a point must have been recorded",
      got: this.#points.size === 0 ? "no points" : `points ${this.points.slice(0, 6).join(", ")}`,
      remedy: isInFile
        ? `Load it: openRecording(path, { points: ["${name}"] }).`
        : `${suggest(name, this.points)} Record it: read: ["${name}"].`,
    });
  }

  /** A point whose values were kept. */
  #values(name: string): RecordedPoint {
    const point = this.#point(name);
    if (this.reduce !== undefined) throw this.#reducedTo(name, "values", "Record without reduce.");
    return point;
  }

  #sequence(path: string, index: number): RecordedSequence {
    const sequence = this.sequences[index];
    if (sequence !== undefined) return sequence;
    const expected = `sequence must be 0 to ${this.sequences.length - 1}`;
    throw new PointError("point.positions", { path, expected, got: `${index}` });
  }

  #rowsOf(point: RecordedPoint): readonly number[] {
    const rows = this.#firstRows.get(point) ?? firstRows(point, this.sequences);
    this.#firstRows.set(point, rows);
    return rows;
  }

  #tensor(name: string): Tensor {
    return this.#tensors.get(name) as Tensor;
  }

  #reducedTo(path: string, wanted: string, remedy: string): PointError {
    const { reduce } = this;
    return new PointError("point.absent", {
      path,
      expected: `the recording must have the ${wanted}`,
      got: reduce === undefined ? "one of all values" : `one reduced to ${JSON.stringify(reduce)}`,
      remedy,
    });
  }
}

function overKeys(path: string, remedy: string): PointError {
  const expected = "rows of one point have one shape";
  return new PointError("point.absent", { path, expected, got: "as many keys as each sequence has", remedy });
}

/** Rows [from, to), on the same memory. */
function rowsOf({ shape, data }: Tensor, from: number, to: number): Tensor {
  const rowShape = shape.slice(1);
  const width = numel(rowShape);
  return new Tensor([to - from, ...rowShape], data.subarray(from * width, to * width));
}
