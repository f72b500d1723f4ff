import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { softCapped } from "../soft-cap/soft-cap.ts";

export interface AttentionScoresAttrs {
  scale: number;
  /** Keys that a row sees, itself included; all before it where undefined. */
  window?: number;
  /** Keeps scores within ±softcap; see softCap. */
  softcap?: number;
}

/** For ops whose H query heads share K key heads. */
export function headsError({ H, K }: Readonly<Record<string, number>>): string | undefined {
  return H % K > 0 ? "the query heads must be a multiple of the key-value heads" : undefined;
}

export const attentionScores = defineOp<
  (q: Value, cache: Value, rows: Value, attrs: AttentionScoresAttrs) => Value,
  AttentionScoresAttrs
>({
  name: "attentionScores",
  doc: "scale · q · k for each head, row and key visible to the row, within ±softcap where there is one. Query head h reads key head ⌊h / (H/K)⌋.",
  signature: "q[T, H, D], cache:cache[K, D, E], rows:rows -> [H, P]",
  attrs: { scale: "real", window: "size?", softcap: "positive?" },
  sizeError: headsError,
  reference({ floats: { q }, cache, rows, out, dims: { T, H, K, D, P }, attrs: { scale, window, softcap } }) {
    const { first, offset } = rows.visible(window);
    for (let h = 0; h < H; h++) {
      const kvHead = Math.floor(h / (H / K));
      for (let t = 0; t < T; t++) {
        for (let key = first[t]; key <= rows.position[t]; key++) {
          const kAt = (rows.slot(rows.sequence[t], key) * K + kvHead) * D;
          let sum = 0;
          for (let i = 0; i < D; i++) sum += q[(t * H + h) * D + i] * cache.k[kAt + i];
          const score = scale * sum;
          out[h * P + offset[t] + key - first[t]] = softcap === undefined ? score : softCapped(score, softcap);
        }
      }
    }
  },
  flops: ({ nOut, D }) => 2 * nOut * D,
  samples: [
    { dims: { H: 4, K: 2, D: 3, E: 3 }, attrs: { scale: 0.5 }, rows: [{ start: 3, nRows: 2 }] },
    { dims: { H: 2, K: 1, D: 3, E: 3 }, attrs: { scale: 1, softcap: 1.5 }, rows: [{ start: 3, nRows: 2 }] },
    {
      dims: { H: 2, K: 2, D: 3, E: 2 },
      attrs: { scale: 1, window: 3 },
      rows: [
        { start: 16, nRows: 2 },
        { start: 0, nRows: 4 },
      ],
    },
  ],
});
