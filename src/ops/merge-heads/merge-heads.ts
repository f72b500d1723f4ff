import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const mergeHeads = defineOp<(x: Value) => Value>({
  name: "mergeHeads",
  doc: "All heads of a row side by side, as the output projection takes them; moves no data.",
  signature: "x[T, H, D] -> [T, H*D]",
  reference({ floats: { x }, out }) {
    out.set(x);
  },
  movesNoData: true,
  flops: () => 0,
  samples: [{ dims: { T: 2, H: 3, D: 4 } }],
});
