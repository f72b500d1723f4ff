import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

interface SelectPairsAttrs {
  window?: number;
}

export const selectPairs = defineOp<
  (x: Value, rows: Value, indices: Value, attrs: SelectPairsAttrs) => Value,
  SelectPairsAttrs
>({
  name: "selectPairs",
  doc: "Scores or weights of selected rows only, each with its own visible keys.",
  signature: "x[H, P], rows:rows, indices:int[R] -> [H, Q]",
  attrs: { window: "size?" },
  reference({ floats: { x }, rows, ints: { indices }, out, dims: { H, P }, attrs: { window } }) {
    const { offset } = rows.visible(window);
    let at = 0;
    for (let h = 0; h < H; h++) {
      for (const row of indices) {
        const pairs = x.subarray(h * P + offset[row], h * P + offset[row + 1]);
        out.set(pairs, at);
        at += pairs.length;
      }
    }
  },
  flops: () => 0,
  samples: [{ dims: { H: 2, R: 2 }, attrs: {}, rows: [{ start: 3, nRows: 4 }] }],
});
