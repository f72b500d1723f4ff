import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { rotaryAngles } from "../rotary-angles/rotary-angles.ts";
import { type RotateAttrs, rotaryError, rotate } from "../rotate/rotate.ts";

export const rope = defineOp<(x: Value, freqs: Value, rows: Value, attrs: RotateAttrs) => Value, RotateAttrs>({
  name: "rope",
  doc: "Rotary position embedding (Su et al. 2021, arXiv:2104.09864): pair i of a row at position p turns by p · freqs[i].",
  signature: "x[T, H, D], freqs[nVariants, r], rows:rows -> [T, H, D]",
  attrs: { pairing: ["half", "adjacent"], magnitude: "positive", offset: "size?" },
  sizeError: rotaryError,
  decompose: ({ x, freqs, rows }, attrs) => rotate(x, rotaryAngles(freqs, rows), attrs),
  samples: [
    {
      dims: { H: 2, D: 6, nVariants: 1, r: 3 },
      attrs: { pairing: "half", magnitude: 1 },
      rows: [
        { start: 0, nRows: 2 },
        { start: 5, nRows: 1 },
      ],
    },
    {
      dims: { H: 2, D: 7, nVariants: 2, r: 2 },
      attrs: { pairing: "adjacent", magnitude: 1.5, offset: 3 },
      rows: [
        { start: 0, nRows: 2 },
        { start: 5, nRows: 1 },
      ],
    },
  ],
});
