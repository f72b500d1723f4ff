import type { Value } from "../../tape/value.ts";
import type { FloatArray } from "../../tensor/dtype.ts";
import { defineOp } from "../define-op.ts";

export const EDIT_KINDS = ["set", "add", "scale", "clamp", "projectOut"] as const;
export type EditKind = (typeof EDIT_KINDS)[number];

interface EditAttrs {
  kind: EditKind;
  nPieces: number;
  pieceSize: number;
}

export const edit = defineOp<
  (x: Value, active: Value, index: Value, operand: Value, attrs: EditAttrs) => Value,
  EditAttrs
>({
  name: "edit",
  doc: "Changes one piece of each active row, all pieces where index is −1: set p = o, add p + o, scale p · o, clamp to [o₀, o₁], projectOut p − (p·o / o·o) o. All other bits pass.",
  signature: "x[T, nPieces*pieceSize], active:int[T], index:int[T], operand[T, w] -> [T, nPieces*pieceSize]",
  attrs: { kind: EDIT_KINDS, nPieces: "size", pieceSize: "size" },
  reference({ floats: { x, operand }, ints: { active, index }, out, dims: { T, w }, attrs }) {
    const { kind, nPieces, pieceSize } = attrs;
    out.set(x);
    for (let t = 0; t < T; t++) {
      if (active[t] === 0) continue;
      const [first, end] = index[t] < 0 ? [0, nPieces] : [index[t], index[t] + 1];
      const o = operand.subarray(t * w, (t + 1) * w);
      for (let piece = first; piece < end; piece++) {
        const at = (t * nPieces + piece) * pieceSize;
        editPiece(kind, out.subarray(at, at + pieceSize), o);
      }
    }
  },
  flops: ({ nOut }) => nOut,
  samples: [
    {
      dims: { T: 3, w: 2 },
      attrs: { kind: "set", nPieces: 3, pieceSize: 2 },
      ints: { active: [1, 0, 1], index: [2, 0, -1] },
    },
    {
      dims: { T: 2, w: 1 },
      attrs: { kind: "add", nPieces: 2, pieceSize: 3 },
      ints: { active: [1, 1], index: [0, -1] },
    },
    {
      dims: { T: 2, w: 4 },
      attrs: { kind: "scale", nPieces: 1, pieceSize: 4 },
      ints: { active: [0, 1], index: [0, 0] },
    },
    {
      dims: { T: 2, w: 2 },
      attrs: { kind: "clamp", nPieces: 4, pieceSize: 1 },
      ints: { active: [1, 1], index: [3, -1] },
    },
    {
      dims: { T: 2, w: 5 },
      attrs: { kind: "projectOut", nPieces: 2, pieceSize: 5 },
      ints: { active: [1, 1], index: [1, -1] },
    },
  ],
});

/** One number of `o` serves all elements; else there is one for each. */
const CHANGE: Readonly<Record<EditKind, (x: number, o: number, bounds: FloatArray) => number>> = {
  set: (_, o) => o,
  add: (x, o) => x + o,
  scale: (x, o) => x * o,
  clamp: (x, _, bounds) => clamped(x, bounds),
  projectOut: (x, o) => x - o,
};

export function editPiece(kind: EditKind, piece: FloatArray, operand: FloatArray): void {
  const o = kind === "projectOut" ? projection(piece, operand) : operand;
  for (let i = 0; i < piece.length; i++) piece[i] = CHANGE[kind](piece[i], o[o.length === 1 ? 0 : i], o);
}

/** The part of `x` along a direction. */
function projection(x: FloatArray, direction: FloatArray): Float64Array {
  let [along, length] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    along += x[i] * direction[i];
    length += direction[i] * direction[i];
  }
  return Float64Array.from(direction, (d) => (along / length) * d);
}

/** A NaN is within any bounds, and a zero keeps its sign. */
export function clamped(x: number, [low, high]: FloatArray): number {
  if (x < low) return low;
  return x > high ? high : x;
}
