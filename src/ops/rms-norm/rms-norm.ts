import { point } from "../../tape/builder.ts";
import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";
import { divide } from "../divide/divide.ts";
import { mul } from "../mul/mul.ts";
import { rms } from "../rms/rms.ts";

interface RmsNormAttrs {
  eps: number;
}

export const rmsNorm = defineOp<(x: Value, gain: Value, attrs: RmsNormAttrs) => Value, RmsNormAttrs>({
  name: "rmsNorm",
  doc: "Root mean square norm: gain · x / √(mean(x²) + eps) (Zhang & Sennrich 2019, arXiv:1910.07467).",
  signature: "x[..., d], gain[d] -> [..., d]",
  attrs: { eps: "positive" },
  innerPoints: ["scale", "normalized"],
  decompose({ x, gain }, { eps }) {
    const scale = point("scale", rms(x, { eps })); // [..., 1]
    return mul(point("normalized", divide(x, scale)), gain); // [..., d]
  },
  samples: [{ dims: { "...": 3, d: 8 }, attrs: { eps: 1e-5 } }],
});
