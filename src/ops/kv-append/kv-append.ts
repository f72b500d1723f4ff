import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const kvAppend = defineOp<(cache: Value, k: Value, v: Value, rows: Value) => Value>({
  name: "kvAppend",
  doc: "The cache with this step's keys and values at their rows' slots. A backend writes in place, since nothing reads the cache from before.",
  signature: "cache:cache[K, D, E], k[T, K, D], v[T, K, E], rows:rows -> out:cache",
  writesCache: true,
  reference({ cache, floats: { k, v }, rows, dims: { T, K, D, E } }) {
    for (let t = 0; t < T; t++) {
      const slot = rows.slot(rows.sequence[t], rows.position[t]);
      cache.k.set(k.subarray(t * K * D, (t + 1) * K * D), slot * K * D);
      cache.v.set(v.subarray(t * K * E, (t + 1) * K * E), slot * K * E);
    }
  },
  flops: () => 0,
  samples: [
    {
      dims: { K: 2, D: 3, E: 4 },
      rows: [
        { start: 15, nRows: 3 },
        { start: 0, nRows: 2 },
      ],
    },
  ],
});
