import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

interface PatchPairsAttrs {
  window?: number;
}

type Call = (
  x: Value,
  rows: Value,
  active: Value,
  head: Value,
  key: Value,
  values: Value,
  attrs: PatchPairsAttrs,
) => Value;

export const patchPairs = defineOp<Call, PatchPairsAttrs>({
  name: "patchPairs",
  doc: "Takes scores or weights of active rows from `values`, of one head and one key position or of all where −1. All other bits pass.",
  signature: "x[H, P], rows:rows, active:int[T], head:int[T], key:int[T], values[H, P] -> [H, P]",
  attrs: { window: "size?" },
  reference({ floats: { x, values }, ints: { active, head, key }, rows, out, dims: { T, H, P }, attrs: { window } }) {
    const { first, offset } = rows.visible(window);
    out.set(x);
    for (let t = 0; t < T; t++) {
      if (active[t] === 0) continue;
      for (let h = 0; h < H; h++) {
        if (head[t] >= 0 && head[t] !== h) continue;
        for (let pair = offset[t]; pair < offset[t + 1]; pair++) {
          if (key[t] < 0 || key[t] === first[t] + pair - offset[t]) out[h * P + pair] = values[h * P + pair];
        }
      }
    }
  },
  flops: () => 0,
  samples: [
    {
      dims: { H: 2 },
      attrs: {},
      rows: [{ start: 0, nRows: 3 }],
      ints: { active: [1, 0, 1], head: [0, 0, -1], key: [-1, 0, 1] },
    },
    {
      dims: { H: 3 },
      attrs: { window: 2 },
      rows: [
        { start: 2, nRows: 2 },
        { start: 0, nRows: 1 },
      ],
      ints: { active: [1, 0, 1], head: [2, 0, -1], key: [1, 0, -1] },
    },
  ],
});
