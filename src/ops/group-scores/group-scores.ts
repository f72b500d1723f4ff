import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { largest } from "../top-k/largest.ts";

interface GroupScoresAttrs {
  nGroups: number;
  /** How many of each group's scores count. */
  k: number;
}

export const groupScores = defineOp<(x: Value, attrs: GroupScoresAttrs) => Value, GroupScoresAttrs>({
  name: "groupScores",
  doc: "Σ of the k largest scores of each group of experts that follow one another: their maximum in DeepSeek-V2 (arXiv:2405.04434, §2.2.2), the sum of two in V3 (arXiv:2412.19437, §2.1.2).",
  signature: "x[T, n] -> [T, nGroups]",
  attrs: { nGroups: "size", k: "size" },
  sizeError({ n, nGroups, k }) {
    if (n % nGroups > 0) return `${n} experts must be shared out over ${nGroups} groups`;
    return k * nGroups > n ? `a group must have at least ${k} experts` : undefined;
  },
  reference({ floats: { x }, out, dims: { n }, attrs: { nGroups, k } }) {
    const size = n / nGroups;
    for (let group = 0; group < out.length; group++) {
      const scores = x.subarray(group * size, (group + 1) * size);
      let total = 0;
      largest(scores, k, (index) => {
        total += scores[index];
      });
      out[group] = total;
    }
  },
  flops: ({ nOut }) => nOut,
  samples: [
    { dims: { T: 3, n: 6 }, attrs: { nGroups: 2, k: 2 } },
    { dims: { T: 2, n: 8 }, attrs: { nGroups: 4, k: 1 } },
  ],
});
