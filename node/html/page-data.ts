/** What trace-page.ts hands to the script of the page, as JSON. */

/** A token's text and its probability. */
export type PagePrediction = readonly [text: string, probability: number];

/** An expert that a token went to, and what its output was multiplied with. */
export type PageExpert = readonly [expert: number, weight: number];

/** A neuron (`N3`, `E17.N3`), its value, and the tokens that it pushes towards where that was asked. */
export type PageNeuron = readonly [name: string, value: number, promotes: readonly string[] | null];

/** A head of a layer looks from one position at another. */
export type PageEdge = readonly [head: number, from: number, to: number, weight: number];

/** All that the page shows, as JSON. Layers stand from bottom to top; the embedding, where it counts, is the first. */
export interface PageData {
  readonly model: {
    readonly name: string;
    readonly architecture: string;
    readonly backend: string;
    readonly nLayers: number;
    readonly nHeads: number;
    /** Layers, heads and neurons, in words. */
    readonly sizes: string;
  };
  /** Edits that were on, as text. */
  readonly edits: readonly string[];
  readonly tokens: readonly string[];
  readonly nPromptTokens: number;
  /** The position to begin with. */
  readonly position: number;
  /** [1 + nLayers][position][rank] */
  readonly predictions: readonly (readonly (readonly PagePrediction[])[])[];
  /** residual [1 + nLayers][position], the others [nLayers][position] */
  readonly lengths: {
    readonly residual: readonly (readonly number[])[];
    readonly attention: readonly (readonly number[])[];
    readonly mlp: readonly (readonly number[])[];
  };
  /** [nLayers][position][slot]; null for layers without experts. */
  readonly experts: readonly (readonly (readonly PageExpert[])[] | null)[];
  /** [nLayers][position][rank] */
  readonly neurons: readonly (readonly (readonly PageNeuron[])[])[];
  /** [nLayers][rank] */
  readonly edges: readonly (readonly PageEdge[])[];
  /** Of each layer, head by head and row by row up to the diagonal, in bytes: 255 is all of a head's attention. Base64. */
  readonly patterns: readonly string[];
}
