import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const selectHeads = defineOp<(x: Value, heads: Value) => Value>({
  name: "selectHeads",
  doc: "Heads of each row by index; one may come several times, as key heads do for their query heads.",
  signature: "x[T, H, D], heads:int[n] -> [T, n, D]",
  reference({ floats: { x }, ints: { heads }, out, dims: { T, H, D, n } }) {
    for (let t = 0; t < T; t++) {
      heads.forEach((head, i) => {
        out.set(x.subarray((t * H + head) * D, (t * H + head + 1) * D), (t * n + i) * D);
      });
    }
  },
  flops: () => 0,
  samples: [{ dims: { T: 2, H: 3, D: 4, n: 4 }, ints: { heads: [2, 0, 0, 1] } }],
});
