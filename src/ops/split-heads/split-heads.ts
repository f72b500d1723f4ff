import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

interface SplitHeadsAttrs {
  nHeads: number;
  headDim: number;
}

export const splitHeads = defineOp<(x: Value, attrs: SplitHeadsAttrs) => Value, SplitHeadsAttrs>({
  name: "splitHeads",
  doc: "Heads side by side become an axis of their own; moves no data.",
  signature: "x[T, nHeads*headDim] -> [T, nHeads, headDim]",
  attrs: { nHeads: "size", headDim: "size" },
  reference({ floats: { x }, out }) {
    out.set(x);
  },
  movesNoData: true,
  flops: () => 0,
  samples: [{ dims: { T: 2 }, attrs: { nHeads: 3, headDim: 4 } }],
});
