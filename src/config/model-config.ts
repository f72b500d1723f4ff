import type { RopeConfig } from "./rope.ts";

/** Layers whose MLP is many experts, of which each token goes to a few. */
export interface SparseConfig {
  readonly nExperts: number;
  readonly nExpertsPerToken: number;
  /** Neurons of one expert. */
  readonly dExpert: number;
  /** Neurons of the expert that every token goes to; 0 where there is none. */
  readonly dShared: number;
  /** Which layers are sparse; the others have a dense MLP. */
  readonly layers: readonly boolean[];
}

/** The sizes that every decoder-only model has; families add their own fields. */
export interface ModelConfig {
  readonly vocabSize: number;
  readonly dModel: number;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
  /** Of values, where these are of another size than keys. */
  readonly vHeadDim?: number;
  /** Neurons of one dense MLP. */
  readonly dFf: number;
  /** Positions that the model was made for. */
  readonly contextLength: number;
  readonly normEps: number;
  /** Undefined where all MLPs are dense. */
  readonly sparse?: SparseConfig;
  /** Layers after the last that predict further tokens (MTP), and are left out. */
  readonly nMtpLayers?: number;
  /** Undefined where positions are not rotary. */
  readonly rope?: RopeConfig;
}

/** The sizes of sparse layers, for what only models that have some are asked. */
export function sparseSizes({ sparse }: Pick<ModelConfig, "sparse">): SparseConfig {
  if (sparse === undefined) throw new Error("the model has no experts");
  return sparse;
}
