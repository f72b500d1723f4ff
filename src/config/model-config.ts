import type { RopeConfig } from "./rope.ts";

/** The sizes that every decoder-only model has; families add their own fields. */
export interface ModelConfig {
  readonly vocabSize: number;
  readonly dModel: number;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
  /** Neurons of one MLP. */
  readonly dFf: number;
  /** Positions that the model was made for. */
  readonly contextLength: number;
  readonly normEps: number;
  /** Undefined where positions are not rotary. */
  readonly rope?: RopeConfig;
}
