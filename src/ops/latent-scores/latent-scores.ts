import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

interface LatentScoresAttrs {
  scale: number;
  /** Dimensions of a query that meet what the latent gives; the others meet the rotated key that all heads share. */
  nope: number;
}

export const latentScores = defineOp<
  (q: Value, wK: Value, cache: Value, rows: Value, attrs: LatentScoresAttrs) => Value,
  LatentScoresAttrs
>({
  name: "latentScores",
  doc: "Scores of multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, §2.1): scale · (q_nope · (wK_h · c) + q_rope · kRope) for each head h and visible key, whose cache holds kRope as its k and the latent c as its v.",
  signature: "q[T, H, qkDim], wK[H*nope, E], cache:cache[K, D, E], rows:rows -> [H, P]",
  attrs: { scale: "real", nope: "size" },
  matrices: ["wK"],
  sizeError: latentError,
  reference({ floats: { q, wK }, cache, rows, out, dims: { T, H, qkDim, D, E, P }, attrs: { scale, nope } }) {
    const { first, offset } = rows.visible(undefined);
    const k = new Float64Array(nope);
    for (let t = 0; t < T; t++) {
      for (let key = first[t]; key <= rows.position[t]; key++) {
        const slot = rows.slot(rows.sequence[t], key);
        for (let h = 0; h < H; h++) {
          const qAt = (t * H + h) * qkDim;
          latentRows(wK, h * nope, cache.v.subarray(slot * E, (slot + 1) * E), k);
          let sum = 0;
          for (let i = 0; i < nope; i++) sum += q[qAt + i] * k[i];
          for (let i = 0; i < D; i++) sum += q[qAt + nope + i] * cache.k[slot * D + i];
          out[h * P + offset[t] + key - first[t]] = scale * sum;
        }
      }
    }
  },
  flops: ({ nOut, qkDim, E }) => 2 * nOut * (qkDim + E),
  samples: [
    { dims: { H: 3, qkDim: 5, K: 1, D: 2, E: 4 }, attrs: { scale: 0.5, nope: 3 }, rows: [{ start: 3, nRows: 2 }] },
    {
      dims: { H: 2, qkDim: 6, K: 1, D: 2, E: 3 },
      attrs: { scale: 1, nope: 4 },
      rows: [
        { start: 16, nRows: 2 },
        { start: 0, nRows: 3 },
      ],
    },
  ],
});

/** For ops over a cache of latents, which is one for all heads. */
export function latentError({ K, D, qkDim, nope }: Readonly<Record<string, number>>): string | undefined {
  if (K !== 1) return "all heads share one latent and one rotated key";
  return qkDim !== undefined && qkDim !== nope + D
    ? `a query has ${nope} dimensions and the ${D} of the rotated key`
    : undefined;
}

/** out = rows [first, first + out.length) of w, times x. */
export function latentRows(w: ArrayLike<number>, first: number, x: ArrayLike<number>, out: Float64Array): void {
  for (let j = 0; j < out.length; j++) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += w[(first + j) * x.length + i] * x[i];
    out[j] = sum;
  }
}
