import type { Tensor } from "../tensor/tensor.ts";

/** What an edit needs of a recording of points. */
export interface Recorded {
  /** Canonical names of the points. */
  readonly points: readonly string[];
  /** Of the model that it was recorded with, where it outlives that model. */
  readonly fingerprint?: string;
  readonly sequences: readonly { readonly tokens: readonly number[] }[];
  /** The values of one sequence from position `start(point, sequence)` on: [n, ...], of what is laid out over keys [nHeads, n, S]. */
  get(point: string, options?: { readonly sequence?: number }): Tensor;
  /** The first recorded position of a sequence. */
  start(point: string, sequence: number): number;
  /** Positions of the rows of `get`, where a part of one expert can be had, which has a row only where a token went to it. */
  positions?(point: string, options: { readonly sequence: number }): readonly number[];
  /** Mean over all recorded rows, element by element. */
  mean(point: string): Tensor;
}
