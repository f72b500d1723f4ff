import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

interface AttentionSoftmaxAttrs {
  window?: number;
}

export const attentionSoftmax = defineOp<
  (scores: Value, rows: Value, sinks: Value | undefined, attrs: AttentionSoftmaxAttrs) => Value,
  AttentionSoftmaxAttrs
>({
  name: "attentionSoftmax",
  doc: "Softmax over the keys visible to each row, so that the weights of a row add up to 1. Where a head has a sink, a score of no key, they add up to 1 minus the sink's share (gpt-oss, arXiv:2508.10925).",
  signature: "scores[H, P], rows:rows, sinks?[H] -> [H, P]",
  attrs: { window: "size?" },
  reference({ floats: { scores, sinks }, rows, out, dims: { H, P }, attrs: { window } }) {
    const { offset } = rows.visible(window);
    for (let h = 0; h < H; h++) {
      for (let t = 0; t < rows.nRows; t++) {
        const from = h * P + offset[t];
        const to = h * P + offset[t + 1];
        let max = sinks?.[h] ?? Number.NEGATIVE_INFINITY;
        for (let i = from; i < to; i++) max = Math.max(max, scores[i]);
        let sum = sinks === undefined ? 0 : Math.exp(sinks[h] - max);
        for (let i = from; i < to; i++) sum += Math.exp(scores[i] - max);
        for (let i = from; i < to; i++) out[i] = Math.exp(scores[i] - max) / sum;
      }
    }
  },
  flops: ({ nOut }) => 4 * nOut,
  samples: [
    { dims: { H: 2 }, attrs: {}, rows: [{ start: 3, nRows: 2 }], without: ["sinks"] },
    { dims: { H: 2 }, attrs: { window: 2 }, rows: [{ start: 3, nRows: 2 }] },
  ],
});
