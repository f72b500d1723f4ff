import { latentAttention as latentAttentionOp, matmul, mergeHeads, splitHeads } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { groupName } from "../weights/schema.ts";
import { rmsNorm } from "./norm.ts";
import type { Rotation } from "./rotary.ts";
import type { LayerCache } from "./step.ts";

/** Projections [out, in] of one layer of multi-head latent attention. */
export interface LatentAttentionWeights {
  /** [nHeads · qkHeadDim, dModel], or [.., qLoraRank] where queries go through a latent too. */
  readonly wQ: Value;
  /** [qLoraRank, dModel] and its norm, where queries go through a latent. */
  readonly wQLatent?: Value;
  readonly qLatentNorm?: { readonly gain: Value };
  /** [kvLoraRank, dModel] */
  readonly wKvLatent: Value;
  readonly kvLatentNorm: { readonly gain: Value };
  /** [qkRopeHeadDim, dModel] */
  readonly wKRope: Value;
  /** [nHeads · qkNopeHeadDim, kvLoraRank] */
  readonly wK: Value;
  /** [nHeads · vHeadDim, kvLoraRank] */
  readonly wV: Value;
  readonly wO: Value;
  readonly bQLatent?: Value;
  readonly bKvLatent?: Value;
  readonly bKRope?: Value;
  readonly bO?: Value;
}

export interface LatentAttentionConfig {
  readonly nHeads: number;
  readonly qkNopeHeadDim: number;
  readonly qkRopeHeadDim: number;
  readonly vHeadDim: number;
}

/** The norms of latents have an eps of their own: transformers and DeepSeek's own code leave the config's out. */
const LATENT_NORM = { normEps: 1e-6 };

interface LatentAttentionOptions {
  /** On q · k. */
  readonly scale: number;
  /** Of the last qkRopeHeadDim dimensions of queries, and of the key that all heads share. */
  readonly rotate: Rotation;
}

/**
 * Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, §2.1): what the cache holds of a token is one latent, after its
 * norm, from which the keys and values of all heads follow, and one rotated key. [T, dModel] -> [T, dModel]
 */
export function latentAttention(
  x: Value,
  w: LatentAttentionWeights,
  c: LatentAttentionConfig,
  rows: Value,
  cache: LayerCache,
  { scale, rotate }: LatentAttentionOptions,
): Value {
  const { nHeads, qkNopeHeadDim: nope, qkRopeHeadDim, vHeadDim: vDim } = c;
  return scope(groupName(w), () => {
    const queried = queryInput(x, w);
    const q = point("q", splitHeads(matmul(queried, w.wQ), { nHeads, headDim: nope + qkRopeHeadDim })); // [T, nHeads, qkHeadDim]
    const rotQ = point("rotQ", rotate(q, nope));
    const latent = rmsNorm(matmul(x, w.wKvLatent, w.bKvLatent), w.kvLatentNorm, LATENT_NORM);
    const kvLatent = point("kvLatent", cache.rounded(latent)); // [T, kvLoraRank]
    const key = splitHeads(matmul(x, w.wKRope, w.bKRope), { nHeads: 1, headDim: qkRopeHeadDim });
    const kRope = point("kRope", mergeHeads(cache.rounded(rotate(key)))); // [T, qkRopeHeadDim]
    const cached = cache.append(oneHead(kRope), oneHead(kvLatent), rows);
    const z = point("z", latentAttentionOp(rotQ, w.wK, w.wV, cached, rows, { scale, nope, vDim })); // [T, nHeads, vHeadDim]
    return point("out", matmul(mergeHeads(z), w.wO, w.bO)); // [T, dModel]
  });
}

/** What queries are projected from: x, or their own latent. */
function queryInput(x: Value, { wQLatent, bQLatent, qLatentNorm }: LatentAttentionWeights): Value {
  if (wQLatent === undefined || qLatentNorm === undefined) return x;
  return point("qLatent", rmsNorm(matmul(x, wQLatent, bQLatent), qLatentNorm, LATENT_NORM)); // [T, qLoraRank]
}

function oneHead(x: Value): Value {
  const [, headDim] = x.shape as [string, number];
  return splitHeads(x, { nHeads: 1, headDim });
}
