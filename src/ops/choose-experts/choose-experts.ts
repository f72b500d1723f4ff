import type { Value } from "../../tape/value.ts";
import type { FloatArray } from "../../tensor/dtype.ts";
import { defineOp } from "../define-op.ts";

interface ChooseExpertsAttrs {
  k: number;
}

export const chooseExperts = defineOp<
  (limited: Value, selection: Value, attrs: ChooseExpertsAttrs) => Value,
  ChooseExpertsAttrs
>({
  name: "chooseExperts",
  doc: "The k experts of each row with the largest limited scores, in descending order of selection scores. Ties go to the larger selection score, then to the lowest index; NaN comes last.",
  signature: "limited[T, n], selection[T, n] -> out:int[T, k]",
  attrs: { k: "size" },
  sizeError: ({ k, n }) => (k > n ? `k = ${k} must not exceed the number of experts` : undefined),
  reference({ floats: { limited, selection }, intOuts: { out }, dims: { n }, attrs: { k } }) {
    const experts = Array.from({ length: n }, (_, expert) => expert);
    for (let row = 0; row * k < out.length; row++) {
      const limitedRow = limited.subarray(row * n, (row + 1) * n);
      const selectionRow = selection.subarray(row * n, (row + 1) * n);
      const bySelection = descending(selectionRow);
      const byLimited = descending(limitedRow);
      const chosen = experts.toSorted((a, b) => byLimited(a, b) || bySelection(a, b)).slice(0, k);
      out.set(
        chosen.sort((a, b) => bySelection(a, b) || a - b),
        row * k,
      );
    }
  },
  flops: () => 0,
  samples: [
    { dims: { T: 3, n: 7 }, attrs: { k: 3 } },
    { dims: { T: 1, n: 4 }, attrs: { k: 4 } },
  ],
});

/** Compares indices into `x`: larger entries first, NaN last. */
export function descending(x: FloatArray): (a: number, b: number) => number {
  return (a, b) => {
    const [first, second] = [Number.isNaN(x[a]), Number.isNaN(x[b])];
    if (first || second) return Number(first) - Number(second);
    return x[a] === x[b] ? 0 : x[a] > x[b] ? -1 : 1;
  };
}
