import type { Value } from "../../tape/value.ts";
import { descending } from "../choose-experts/choose-experts.ts";
import { defineOp } from "../define-op.ts";

type Call = (indices: Value, selection: Value, active: Value, from: Value, to: Value) => Value;

export const swapExperts = defineOp<Call>({
  name: "swapExperts",
  doc: "In active rows that chose expert `from` and not `to`, `to` in its place; the slots of such rows are in descending order of selection scores again. Other rows pass, those whose `to` is no expert among them.",
  signature: "indices:int[T, k], selection[T, n], active:int[T], from:int[T], to:int[T] -> out:int[T, k]",
  reference({ floats: { selection }, ints: { indices, active, from, to }, intOuts: { out }, dims: { T, n, k } }) {
    out.set(indices);
    for (let t = 0; t < T; t++) {
      const slots = out.subarray(t * k, (t + 1) * k);
      const slot = slots.indexOf(from[t]);
      if (active[t] === 0 || slot < 0 || slots.includes(to[t]) || to[t] < 0 || to[t] >= n) continue;
      slots[slot] = to[t];
      const bySelection = descending(selection.subarray(t * n, (t + 1) * n));
      slots.set(Array.from(slots).sort((a, b) => bySelection(a, b) || a - b));
    }
  },
  flops: () => 0,
  samples: [
    {
      dims: { T: 4, n: 5, k: 2 },
      ints: { indices: [3, 0, 1, 2, 4, 3, 0, 1], active: [1, 1, 0, 1], from: [0, 1, 4, 3], to: [4, 2, 0, 2] },
    },
  ],
});
