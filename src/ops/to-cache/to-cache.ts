import type { KvType, Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

/** Arrays whose elements are what the cache can hold. */
const ARRAYS = { f16: Float16Array };

interface ToCacheAttrs {
  type: keyof typeof ARRAYS & KvType;
}

export const toCache = defineOp<(x: Value, attrs: ToCacheAttrs) => Value, ToCacheAttrs>({
  name: "toCache",
  doc: "x rounded to the type in which the cache holds keys and values, to the nearest with ties to even.",
  signature: "x[...] -> [...]",
  attrs: { type: Object.keys(ARRAYS) },
  reference({ floats: { x }, out, attrs: { type } }) {
    out.set(ARRAYS[type].from(x));
  },
  flops: ({ nOut }) => nOut,
  samples: [{ dims: { "...": 9 }, attrs: { type: "f16" } }],
});
