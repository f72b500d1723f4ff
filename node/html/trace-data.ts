import { type ModelConfig, neuronName, type Tensor, type TextTrace } from "../index.ts";
import type { PageData } from "./page-data.ts";

/** What the page says about the model, and about the run. */
export interface TracedModel {
  readonly name: string;
  readonly architecture: string;
  readonly backend: string;
  readonly config: ModelConfig;
  /** Edits that were on, as text. */
  readonly edits: readonly string[];
}

/** Bytes of patterns that a page may hold; as base64 they take a third more. */
const MAX_PATTERN_BYTES = 16 * 2 ** 20;
/** Tokens by which the page's grids stay quick. */
const MAX_TOKENS = 256;

/** The longest text of which a page can show everything: it holds each head's pattern over all pairs of tokens. */
export function maxPageTokens({ nLayers, nHeads }: Pick<ModelConfig, "nLayers" | "nHeads">): number {
  const nPairs = MAX_PATTERN_BYTES / (nLayers * nHeads);
  return Math.min(MAX_TOKENS, Math.floor((Math.sqrt(1 + 8 * nPairs) - 1) / 2));
}

export function pageData({ config, edits, ...model }: TracedModel, trace: TextTrace): PageData {
  const { nLayers, nHeads } = config;
  const { residual, attention, mlp } = trace.lengths;
  return {
    model: { ...model, nLayers, nHeads, sizes: sizesText(config) },
    edits,
    tokens: trace.tokens.map(({ text }) => text),
    nPromptTokens: trace.nPromptTokens,
    position: trace.position,
    predictions: trace.predictions.map((rows) =>
      rows.map((row) => row.map(({ text, probability }) => [text, rounded(probability)] as const)),
    ),
    lengths: { residual: roundedAll(residual), attention: roundedAll(attention), mlp: roundedAll(mlp) },
    experts: trace.experts.map(
      (rows) => rows?.map((row) => row.map(({ expert, weight }) => [expert, rounded(weight)] as const)) ?? null,
    ),
    neurons: trace.neurons.map((rows) =>
      rows.map((row) =>
        row.map(({ value, promotes, ...neuron }) => {
          return [neuronName(neuron), rounded(value), promotes?.map(({ text }) => text) ?? null] as const;
        }),
      ),
    ),
    edges: trace.edges.map((edges) =>
      edges.map(({ head, from, to, weight }) => [head, from, to, rounded(weight)] as const),
    ),
    patterns: trace.patterns.map(patternBytes),
  };
}

/** What a model is made of, in a few words. */
export function sizesText({ nLayers, nHeads, dFf, sparse }: ModelConfig): string {
  const heads = `${nLayers} layers of ${nHeads} heads`;
  if (sparse === undefined) return `${heads} and ${dFf} neurons`;
  const nSparse = sparse.layers.filter((isSparse) => isSparse).length;
  const experts = `${sparse.nExperts} experts of ${sparse.dExpert} neurons`;
  return nSparse === nLayers ? `${heads} and ${experts}` : `${heads}; ${nSparse} layers have ${experts}`;
}

/** As many digits as a page can show, so that the file stays small. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

function roundedAll(rows: readonly (readonly number[])[]): number[][] {
  return rows.map((row) => row.map(rounded));
}

/** [nHeads, T, T], of which the pairs above the diagonal are zero. */
function patternBytes(pattern: Tensor): string {
  const [nHeads, nRows] = pattern.shape;
  const bytes = new Uint8Array((nHeads * nRows * (nRows + 1)) / 2);
  let next = 0;
  for (let head = 0; head < nHeads; head++) {
    for (let from = 0; from < nRows; from++) {
      for (let to = 0; to <= from; to++) bytes[next++] = Math.round(255 * pattern.at(head, from, to));
    }
  }
  return Buffer.from(bytes).toString("base64");
}
