import type { DescribedTensor } from "../checkpoint/write-safetensors.ts";
import { type Positions, resolvePositions } from "../points/read-spec.ts";

/** What a recording keeps of the values of each point; all of them where undefined. */
export type Reduce =
  | "mean"
  /** Mean and variance. */
  | "variance"
  /** For each element, such as each neuron, the rows of all texts in which it is largest. */
  | { readonly topK: number };

/** A point that was recorded, and where. */
export interface RecordedPoint {
  readonly name: string;
  readonly positions: Positions;
  /** Sizes of one row; of what is laid out over keys, [nHeads]. */
  readonly rowShape: readonly number[];
  readonly isOverKeys: boolean;
  /** Of its values; whole numbers say which experts were chosen. */
  readonly dtype: "f32" | "i32";
}

/** A text that was recorded. */
export interface RecordedSequence {
  readonly tokens: readonly number[];
}

/** What was recorded, as far as it is known before any value is. */
export interface RecordingPlan {
  readonly points: readonly RecordedPoint[];
  readonly sequences: readonly RecordedSequence[];
  readonly reduce: Reduce | undefined;
}

/** Names of the tensors that hold the texts: all tokens one after another, and how many each text has. */
export const TOKENS = "tokens";
export const LENGTHS = "lengths";

/** The values of a point laid out over keys are one tensor for each sequence. */
export function sequenceTensor(point: string, sequence: number): string {
  return `${point}/${sequence}`;
}

export function reducedTensor(point: string, what: "mean" | "variance" | "top" | "top.sequence" | "top.position") {
  return `${point}.${what}`;
}

/** For each sequence the row at which its rows begin in a point's tensor, and as the last entry how many rows there are. */
export function firstRows({ name, positions }: RecordedPoint, sequences: readonly RecordedSequence[]): number[] {
  const rows = [0];
  for (const { tokens } of sequences) {
    const [from, to] = resolvePositions(positions, 0, tokens.length, name);
    rows.push((rows.at(-1) ?? 0) + to - from);
  }
  return rows;
}

/** The tensors that hold the values of a point. */
export function pointTensors(point: RecordedPoint, { sequences, reduce }: RecordingPlan): DescribedTensor[] {
  const { name, rowShape, dtype } = point;
  if (point.isOverKeys) {
    return sequences.map(({ tokens }, s) => {
      const [from, to] = resolvePositions(point.positions, 0, tokens.length, name);
      return { name: sequenceTensor(name, s), shape: [...rowShape, to - from, to], dtype: "f32" };
    });
  }
  const nRows = firstRows(point, sequences).at(-1) ?? 0;
  if (reduce === undefined) return [{ name, shape: [nRows, ...rowShape], dtype }];
  if (typeof reduce === "string") {
    const kept = reduce === "mean" ? (["mean"] as const) : (["mean", "variance"] as const);
    return kept.map((what) => ({ name: reducedTensor(name, what), shape: rowShape, dtype: "f32" }));
  }
  const shape = [Math.min(reduce.topK, nRows), ...rowShape];
  return [
    { name: reducedTensor(name, "top"), shape, dtype: "f32" },
    { name: reducedTensor(name, "top.sequence"), shape, dtype: "i32" },
    { name: reducedTensor(name, "top.position"), shape, dtype: "i32" },
  ];
}

/** All tensors of a recording's file. */
export function recordingTensors(plan: RecordingPlan): DescribedTensor[] {
  const nTokens = plan.sequences.reduce((sum, { tokens }) => sum + tokens.length, 0);
  return [
    { name: TOKENS, shape: [nTokens], dtype: "i32" },
    { name: LENGTHS, shape: [plan.sequences.length], dtype: "i32" },
    ...plan.points.flatMap((point) => pointTensors(point, plan)),
  ];
}
