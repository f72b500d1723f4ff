import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { EDIT_KINDS, type EditKind, editPiece } from "../edit/edit.ts";

interface EditExpertsAttrs {
  kind: EditKind;
  nPieces: number;
  pieceSize: number;
}

type Call = (
  x: Value,
  indices: Value,
  active: Value,
  expert: Value,
  index: Value,
  operand: Value,
  attrs: EditExpertsAttrs,
) => Value;

export const editExperts = defineOp<Call, EditExpertsAttrs>({
  name: "editExperts",
  doc: "As edit, of what experts hold: changes one piece, or all where index is −1, in the slot of each active row that `indices` gives to the expert, in all slots where expert is −1. A row that did not choose the expert has nothing to change; all other bits pass.",
  signature:
    "x[T, A, nPieces*pieceSize], indices:int[T, A], active:int[T], expert:int[T], index:int[T], operand[T, w] -> [T, A, nPieces*pieceSize]",
  attrs: { kind: EDIT_KINDS, nPieces: "size", pieceSize: "size" },
  reference({ floats: { x, operand }, ints: { indices, active, expert, index }, out, dims: { T, A, w }, attrs }) {
    const { kind, nPieces, pieceSize } = attrs;
    out.set(x);
    for (let t = 0; t < T; t++) {
      if (active[t] === 0) continue;
      const [first, end] = index[t] < 0 ? [0, nPieces] : [index[t], index[t] + 1];
      const o = operand.subarray(t * w, (t + 1) * w);
      for (let a = 0; a < A; a++) {
        if (expert[t] >= 0 && indices[t * A + a] !== expert[t]) continue;
        for (let piece = first; piece < end; piece++) {
          const at = ((t * A + a) * nPieces + piece) * pieceSize;
          editPiece(kind, out.subarray(at, at + pieceSize), o);
        }
      }
    }
  },
  flops: ({ nOut }) => nOut,
  samples: [
    {
      dims: { T: 3, A: 2, w: 1 },
      attrs: { kind: "set", nPieces: 4, pieceSize: 1 },
      ints: { indices: [5, 2, 2, 0, 1, 5], active: [1, 1, 0], expert: [2, 2, 5], index: [3, -1, 0] },
    },
    {
      dims: { T: 2, A: 2, w: 3 },
      attrs: { kind: "add", nPieces: 1, pieceSize: 3 },
      ints: { indices: [0, 1, 1, 3], active: [1, 1], expert: [-1, 3], index: [-1, 0] },
    },
  ],
});
