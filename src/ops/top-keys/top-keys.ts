import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { largest } from "../top-k/largest.ts";

interface TopKeysAttrs {
  k: number;
  window?: number;
}

export const topKeys = defineOp<
  (pattern: Value, rows: Value, attrs: TopKeysAttrs) => readonly [weights: Value, keys: Value],
  TopKeysAttrs
>({
  name: "topKeys",
  doc: "The k keys that each row of each head attends to most, by position; a row that sees fewer has weight 0 and key −1 there.",
  signature: "pattern[H, P], rows:rows -> weights[H, T, k], keys:int[H, T, k]",
  attrs: { k: "size", window: "size?" },
  reference({ floats: { pattern }, rows, floatOuts: { weights }, intOuts: { keys }, dims, attrs: { k, window } }) {
    const { H, T, P } = dims;
    const { first, offset } = rows.visible(window);
    keys.fill(-1);
    for (let h = 0; h < H; h++) {
      for (let t = 0; t < T; t++) {
        const visible = pattern.subarray(h * P + offset[t], h * P + offset[t + 1]);
        largest(visible, k, (index, rank) => {
          weights[(h * T + t) * k + rank] = visible[index];
          keys[(h * T + t) * k + rank] = first[t] + index;
        });
      }
    }
  },
  flops: () => 0,
  samples: [{ dims: { H: 2 }, attrs: { k: 2 }, rows: [{ start: 0, nRows: 3 }] }],
});
