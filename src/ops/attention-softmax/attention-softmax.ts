import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

interface AttentionSoftmaxAttrs {
  window?: number;
}

export const attentionSoftmax = defineOp<
  (scores: Value, rows: Value, attrs: AttentionSoftmaxAttrs) => Value,
  AttentionSoftmaxAttrs
>({
  name: "attentionSoftmax",
  doc: "Softmax over the keys visible to each row, so that the weights of a row add up to 1.",
  signature: "scores[H, P], rows:rows -> [H, P]",
  attrs: { window: "size?" },
  reference({ floats: { scores }, rows, out, dims: { H, P }, attrs: { window } }) {
    const { offset } = rows.visible(window);
    for (let h = 0; h < H; h++) {
      for (let t = 0; t < rows.nRows; t++) {
        const from = h * P + offset[t];
        const to = h * P + offset[t + 1];
        let max = Number.NEGATIVE_INFINITY;
        for (let i = from; i < to; i++) max = Math.max(max, scores[i]);
        let sum = 0;
        for (let i = from; i < to; i++) sum += Math.exp(scores[i] - max);
        for (let i = from; i < to; i++) out[i] = Math.exp(scores[i] - max) / sum;
      }
    }
  },
  flops: ({ nOut }) => 4 * nOut,
  samples: [
    { dims: { H: 2 }, attrs: {}, rows: [{ start: 3, nRows: 2 }] },
    { dims: { H: 2 }, attrs: { window: 2 }, rows: [{ start: 3, nRows: 2 }] },
  ],
});
