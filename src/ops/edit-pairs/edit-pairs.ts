import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { clamped } from "../edit/edit.ts";

export const EDIT_PAIRS_KINDS = ["set", "add", "scale", "clamp"] as const;

interface EditPairsAttrs {
  kind: (typeof EDIT_PAIRS_KINDS)[number];
  window?: number;
}

type Call = (
  x: Value,
  rows: Value,
  active: Value,
  head: Value,
  key: Value,
  operand: Value,
  attrs: EditPairsAttrs,
) => Value;

export const editPairs = defineOp<Call, EditPairsAttrs>({
  name: "editPairs",
  doc: "Changes scores or weights of active rows, of one head and one key position or of all where −1: set o, add + o, scale · o, clamp to [o₀, o₁]. A key that the row does not see is nothing to change; all other bits pass.",
  signature: "x[H, P], rows:rows, active:int[T], head:int[T], key:int[T], operand[T, w] -> [H, P]",
  attrs: { kind: EDIT_PAIRS_KINDS, window: "size?" },
  reference({ floats: { x, operand }, ints: { active, head, key }, rows, out, dims: { T, H, P, w }, attrs }) {
    const { first, offset } = rows.visible(attrs.window);
    out.set(x);
    for (let t = 0; t < T; t++) {
      if (active[t] === 0) continue;
      const o = operand.subarray(t * w, (t + 1) * w);
      const nKeys = offset[t + 1] - offset[t];
      for (let h = 0; h < H; h++) {
        if (head[t] >= 0 && head[t] !== h) continue;
        for (let i = 0; i < nKeys; i++) {
          if (key[t] >= 0 && key[t] !== first[t] + i) continue;
          const at = h * P + offset[t] + i;
          if (attrs.kind === "set") out[at] = o[0];
          else if (attrs.kind === "add") out[at] += o[0];
          else if (attrs.kind === "scale") out[at] *= o[0];
          else out[at] = clamped(out[at], o);
        }
      }
    }
  },
  flops: ({ nOut }) => nOut,
  samples: [
    {
      dims: { H: 2, w: 1 },
      attrs: { kind: "set" },
      rows: [{ start: 0, nRows: 3 }],
      ints: { active: [1, 1, 1], head: [0, -1, 1], key: [0, -1, 1] },
    },
    {
      dims: { H: 3, w: 1 },
      attrs: { kind: "scale", window: 2 },
      rows: [
        { start: 2, nRows: 2 },
        { start: 0, nRows: 1 },
      ],
      ints: { active: [1, 0, 1], head: [2, 0, -1], key: [1, 0, 0] },
    },
    {
      dims: { H: 1, w: 1 },
      attrs: { kind: "add" },
      rows: [{ start: 1, nRows: 1 }],
      ints: { active: [1], head: [0], key: [-1] },
    },
    {
      dims: { H: 2, w: 2 },
      attrs: { kind: "clamp" },
      rows: [{ start: 1, nRows: 1 }],
      ints: { active: [1], head: [1], key: [-1] },
    },
  ],
});
