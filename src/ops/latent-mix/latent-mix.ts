import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { latentError, latentRows } from "../latent-scores/latent-scores.ts";

interface LatentMixAttrs {
  /** Dimensions of a head's values. */
  vDim: number;
}

export const latentMix = defineOp<
  (pattern: Value, wV: Value, cache: Value, rows: Value, attrs: LatentMixAttrs) => Value,
  LatentMixAttrs
>({
  name: "latentMix",
  doc: "z of multi-head latent attention: Σ over visible keys of pattern · (wV_h · c), with each key's latent c from the cache.",
  signature: "pattern[H, P], wV[H*vDim, E], cache:cache[K, D, E], rows:rows -> [T, H, vDim]",
  attrs: { vDim: "size" },
  matrices: ["wV"],
  sizeError: latentError,
  reference({ floats: { pattern, wV }, cache, rows, out, dims: { T, H, E, P }, attrs: { vDim } }) {
    const { first, offset } = rows.visible(undefined);
    const [v, z] = [new Float64Array(vDim), new Float64Array(vDim)];
    for (let t = 0; t < T; t++) {
      for (let h = 0; h < H; h++) {
        z.fill(0);
        for (let key = first[t]; key <= rows.position[t]; key++) {
          const slot = rows.slot(rows.sequence[t], key);
          const weight = pattern[h * P + offset[t] + key - first[t]];
          latentRows(wV, h * vDim, cache.v.subarray(slot * E, (slot + 1) * E), v);
          for (let i = 0; i < vDim; i++) z[i] += weight * v[i];
        }
        out.set(z, (t * H + h) * vDim);
      }
    }
  },
  flops: ({ nOut, P, H, E }) => 2 * E * (nOut + H * P),
  samples: [
    { dims: { H: 3, K: 1, D: 2, E: 4 }, attrs: { vDim: 3 }, rows: [{ start: 3, nRows: 2 }] },
    {
      dims: { H: 2, K: 1, D: 2, E: 3 },
      attrs: { vDim: 4 },
      rows: [
        { start: 16, nRows: 2 },
        { start: 0, nRows: 3 },
      ],
    },
  ],
});
