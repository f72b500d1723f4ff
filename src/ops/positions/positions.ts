import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const positions = defineOp<(rows: Value) => Value>({
  name: "positions",
  doc: "The position of each row in its sequence, for learned position embeddings.",
  signature: "rows:rows -> out:int[T]",
  reference({ rows, intOuts: { out } }) {
    out.set(rows.position);
  },
  flops: () => 0,
  samples: [
    {
      dims: {},
      rows: [
        { start: 2, nRows: 3 },
        { start: 0, nRows: 2 },
      ],
    },
  ],
});
