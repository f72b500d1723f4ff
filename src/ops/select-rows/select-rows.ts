import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const selectRows = defineOp<(x: Value, indices: Value) => Value>({
  name: "selectRows",
  doc: "Rows of x by index: embedding look-up, and the rows whose logits or values are wanted.",
  signature: "x[n, ...], indices:int[R] -> [R, ...]",
  matrices: ["x"],
  reference({ floats: { x }, ints: { indices }, out }) {
    const width = out.length / indices.length;
    indices.forEach((index, r) => {
      out.set(x.subarray(index * width, (index + 1) * width), r * width);
    });
  },
  flops: () => 0,
  reads: ({ nOut }) => ({ x: nOut }),
  samples: [{ dims: { n: 6, "...": 4, R: 3 } }, { dims: { n: 2, "...": 4, R: 0 } }],
});
