import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const rotaryAngles = defineOp<(freqs: Value, rows: Value) => Value>({
  name: "rotaryAngles",
  doc: "position · frequency for each pair of dimensions, with the frequencies that the row's sequence uses.",
  signature: "freqs[nVariants, r], rows:rows -> [T, r]",
  reference({ floats: { freqs }, rows, out, dims: { T, r } }) {
    for (let t = 0; t < T; t++) {
      const variant = rows.ropeVariant(t);
      for (let i = 0; i < r; i++) out[t * r + i] = rows.position[t] * freqs[variant * r + i];
    }
  },
  flops: ({ nOut }) => nOut,
  samples: [{ dims: { nVariants: 1, r: 4 }, rows: [{ start: 2, nRows: 3 }] }],
});
