import { point } from "../../tape/builder.ts";
import type { Value } from "../../tape/value.ts";
import { attentionMix } from "../attention-mix/attention-mix.ts";
import { type AttentionScoresAttrs, attentionScores, headsError } from "../attention-scores/attention-scores.ts";
import { attentionSoftmax } from "../attention-softmax/attention-softmax.ts";
import { defineOp } from "../define-op.ts";

export const attention = defineOp<
  (q: Value, cache: Value, rows: Value, sinks: Value | undefined, attrs: AttentionScoresAttrs) => Value,
  AttentionScoresAttrs
>({
  name: "attention",
  doc: "Causal attention softmax(scale · q·kᵀ) · v over each row's own visible keys (arXiv:1706.03762), with grouped heads (arXiv:2305.13245), a sliding window (arXiv:2310.06825), capped scores (arXiv:2408.00118) and sinks (arXiv:2508.10925).",
  signature: "q[T, H, D], cache:cache[K, D, E], rows:rows, sinks?[H] -> [T, H, E]",
  attrs: { scale: "real", window: "size?", softcap: "positive?" },
  sizeError: headsError,
  innerPoints: ["scores", "pattern"],
  decompose({ q, cache, rows, sinks }, { scale, window, softcap }) {
    const scores = point("scores", attentionScores(q, cache, rows, { scale, window, softcap })); // [H, P]
    const pattern = point("pattern", attentionSoftmax(scores, rows, sinks, { window })); // [H, P]
    return attentionMix(pattern, cache, rows, { window }); // [T, H, vHeadDim]
  },
  samples: [
    {
      dims: { H: 4, K: 2, D: 3, E: 3 },
      attrs: { scale: 0.5 },
      rows: [{ start: 3, nRows: 2 }],
      without: ["sinks"],
    },
    { dims: { H: 4, K: 2, D: 3, E: 3 }, attrs: { scale: 1, softcap: 1.5 }, rows: [{ start: 3, nRows: 2 }] },
    {
      dims: { H: 2, K: 2, D: 3, E: 2 },
      attrs: { scale: 1, window: 3 },
      rows: [
        { start: 16, nRows: 2 },
        { start: 0, nRows: 4 },
      ],
    },
  ],
});
