import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

export const add = defineOp<(a: Value, b: Value) => Value>({
  name: "add",
  doc: "a + b; b is repeated over the leading sizes of a.",
  signature: "a[*, ...], b[...] -> [*, ...]",
  reference({ floats: { a, b }, out }) {
    for (let i = 0; i < out.length; i++) out[i] = a[i] + b[i % b.length];
  },
  flops: ({ nOut }) => nOut,
  samples: [{ dims: { "*": 3, "...": 5 } }, { dims: { "...": 4 } }],
});
