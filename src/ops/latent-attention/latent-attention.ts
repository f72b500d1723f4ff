import { point } from "../../tape/builder.ts";
import type { Value } from "../../tape/value.ts";
import { attentionSoftmax } from "../attention-softmax/attention-softmax.ts";
import { defineOp } from "../define-op.ts";
import { latentMix } from "../latent-mix/latent-mix.ts";
import { latentError, latentScores } from "../latent-scores/latent-scores.ts";

interface LatentAttentionAttrs {
  scale: number;
  /** Dimensions of a query that meet what the latent gives; the others meet the rotated key that all heads share. */
  nope: number;
  /** Dimensions of a head's values. */
  vDim: number;
}

export const latentAttention = defineOp<
  (q: Value, wK: Value, wV: Value, cache: Value, rows: Value, attrs: LatentAttentionAttrs) => Value,
  LatentAttentionAttrs
>({
  name: "latentAttention",
  doc: "Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, §2.1) over a cache of one latent c and one rotated key for each token: keys wK_h · c and values wV_h · c of each head follow from the latent.",
  signature: "q[T, H, qkDim], wK[H*nope, E], wV[H*vDim, E], cache:cache[K, D, E], rows:rows -> [T, H, vDim]",
  attrs: { scale: "real", nope: "size", vDim: "size" },
  matrices: ["wK", "wV"],
  sizeError: latentError,
  innerPoints: ["scores", "pattern"],
  decompose({ q, wK, wV, cache, rows }, { scale, nope, vDim }) {
    const scores = point("scores", latentScores(q, wK, cache, rows, { scale, nope })); // [H, P]
    const pattern = point("pattern", attentionSoftmax(scores, rows, undefined, {})); // [H, P]
    return latentMix(pattern, wV, cache, rows, { vDim }); // [T, H, vDim]
  },
  samples: [
    {
      dims: { H: 3, qkDim: 5, K: 1, D: 2, E: 4 },
      attrs: { scale: 0.5, nope: 3, vDim: 2 },
      rows: [{ start: 3, nRows: 2 }],
    },
    {
      dims: { H: 2, qkDim: 6, K: 1, D: 2, E: 3 },
      attrs: { scale: 1, nope: 4, vDim: 5 },
      rows: [
        { start: 16, nRows: 2 },
        { start: 0, nRows: 3 },
      ],
    },
  ],
});
