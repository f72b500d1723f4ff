import { attention, matmul, mergeHeads, splitHeads } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { groupName } from "../weights/schema.ts";
import type { LayerCache } from "./step.ts";

/** Projections [out, in] of one attention layer; biases where the family has them. */
export interface AttentionWeights {
  readonly wQ: Value;
  readonly wK: Value;
  readonly wV: Value;
  readonly wO: Value;
  readonly bQ?: Value;
  readonly bK?: Value;
  readonly bV?: Value;
  readonly bO?: Value;
  /** [nHeads] A score of no key for each head, which takes its share of the softmax. */
  readonly sinks?: Value;
}

export interface AttentionSizes {
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
}

/** `rounded` gives keys as the cache will hold them; apply it last. */
export type Prepare = (q: Value, k: Value, rounded: (k: Value) => Value) => readonly [q: Value, k: Value];

interface AttentionOptions {
  /** Keys that a row sees, itself included; undefined for all before it. */
  readonly window?: number;
  /** On q · k; 1/√headDim unless stated. */
  readonly scale?: number;
  /** Keeps scores within ±softcap. */
  readonly softcap?: number;
  /** What a family does to queries [T, nHeads, headDim] and keys [T, nKvHeads, headDim] before they meet. */
  readonly prepare?: Prepare;
}

/**
 * Causal self-attention with grouped heads: project, prepare (norms, rotary embedding), append to the cache, attend,
 * project back. [T, dModel] -> [T, dModel]
 */
export function selfAttention(
  x: Value,
  weights: AttentionWeights,
  { nHeads, nKvHeads, headDim }: AttentionSizes,
  rows: Value,
  cache: LayerCache,
  { window, scale = headDim ** -0.5, softcap, prepare = (q, k, rounded) => [q, rounded(k)] }: AttentionOptions = {},
): Value {
  return scope(groupName(weights), () => {
    const q = point("q", splitHeads(matmul(x, weights.wQ, weights.bQ), { nHeads, headDim })); // [T, nHeads, headDim]
    const k = point("k", splitHeads(matmul(x, weights.wK, weights.bK), { nHeads: nKvHeads, headDim }));
    const v = splitHeads(matmul(x, weights.wV, weights.bV), { nHeads: nKvHeads, headDim });
    const rounded = (kv: Value): Value => cache.rounded(kv);
    const value = point("v", rounded(v)); // [T, nKvHeads, headDim]
    const [query, key] = prepare(q, k, rounded);
    const cached = cache.append(key, value, rows);
    const z = point("z", attention(query, cached, rows, weights.sinks, { scale, window, softcap })); // [T, nHeads, headDim]
    return point("out", matmul(mergeHeads(z), weights.wO, weights.bO)); // [T, dModel]
  });
}
