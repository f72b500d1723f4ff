import type { Value } from "../../tape/value.ts";
import { headsError } from "../attention-scores/attention-scores.ts";
import { defineOp } from "../define-op.ts";

interface AttentionMixAttrs {
  window?: number;
}

export const attentionMix = defineOp<
  (pattern: Value, cache: Value, rows: Value, attrs: AttentionMixAttrs) => Value,
  AttentionMixAttrs
>({
  name: "attentionMix",
  doc: "z = Σ over visible keys of pattern · v.",
  signature: "pattern[H, P], cache:cache[K, D, E], rows:rows -> [T, H, E]",
  attrs: { window: "size?" },
  sizeError: headsError,
  reference({ floats: { pattern }, cache, rows, out, dims: { T, H, K, E, P }, attrs: { window } }) {
    const { first, offset } = rows.visible(window);
    const z = new Float64Array(E);
    for (let t = 0; t < T; t++) {
      for (let h = 0; h < H; h++) {
        const kvHead = Math.floor(h / (H / K));
        z.fill(0);
        for (let key = first[t]; key <= rows.position[t]; key++) {
          const weight = pattern[h * P + offset[t] + key - first[t]];
          const vAt = (rows.slot(rows.sequence[t], key) * K + kvHead) * E;
          for (let i = 0; i < E; i++) z[i] += weight * cache.v[vAt + i];
        }
        out.set(z, (t * H + h) * E);
      }
    }
  },
  flops: ({ H, P, E }) => 2 * H * P * E,
  samples: [
    { dims: { H: 4, K: 2, D: 3, E: 2 }, attrs: {}, rows: [{ start: 3, nRows: 2 }] },
    { dims: { H: 2, K: 1, D: 3, E: 2 }, attrs: { window: 2 }, rows: [{ start: 16, nRows: 3 }] },
  ],
});
