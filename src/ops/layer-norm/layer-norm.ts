import { point } from "../../tape/builder.ts";
import type { Value } from "../../tape/value.ts";
import { add } from "../add/add.ts";
import { center } from "../center/center.ts";
import { defineOp } from "../define-op.ts";
import { divide } from "../divide/divide.ts";
import { mul } from "../mul/mul.ts";
import { rms } from "../rms/rms.ts";

interface LayerNormAttrs {
  eps: number;
}

export const layerNorm = defineOp<(x: Value, gain: Value, bias: Value, attrs: LayerNormAttrs) => Value, LayerNormAttrs>(
  {
    name: "layerNorm",
    doc: "Layer norm: gain · (x − mean) / √(var + eps) + bias, biased variance (Ba et al. 2016, arXiv:1607.06450).",
    signature: "x[..., d], gain[d], bias[d] -> [..., d]",
    attrs: { eps: "positive" },
    innerPoints: ["scale", "normalized"],
    decompose({ x, gain, bias }, { eps }) {
      const centered = center(x); // [..., d]
      const scale = point("scale", rms(centered, { eps })); // [..., 1]
      return add(mul(point("normalized", divide(centered, scale)), gain), bias); // [..., d]
    },
    samples: [{ dims: { "...": 3, d: 8 }, attrs: { eps: 1e-5 } }],
  },
);
