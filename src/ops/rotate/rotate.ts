import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

/** Which dimensions form a pair: i with i + r (`half`, as Hugging Face) or 2i with 2i + 1 (`adjacent`, as the paper). */
export type Pairing = "half" | "adjacent";

export interface RotateAttrs {
  pairing: Pairing;
  /** Factor on cos and sin (YaRN's attention factor; 1 otherwise). */
  magnitude: number;
  /** Dimensions of a head before those that turn, which pass; none where undefined. */
  offset?: number;
}

/** For ops that rotate r pairs of D dimensions. */
export function rotaryError({ r, D, offset = 0 }: Readonly<Record<string, number>>): string | undefined {
  return offset + 2 * r > D ? `${r} pairs must fit into the dimensions of a head` : undefined;
}

export const rotate = defineOp<(x: Value, angles: Value, attrs: RotateAttrs) => Value, RotateAttrs>({
  name: "rotate",
  doc: "Rotates each of the first r pairs of dimensions from `offset` on by its angle: (a, b) -> (a·cos − b·sin, b·cos + a·sin); other dimensions pass.",
  signature: "x[T, H, D], angles[T, r] -> [T, H, D]",
  attrs: { pairing: ["half", "adjacent"], magnitude: "positive", offset: "size?" },
  sizeError: rotaryError,
  reference({ floats: { x, angles }, out, dims: { T, H, D, r }, attrs: { pairing, magnitude, offset = 0 } }) {
    out.set(x);
    const [step, gap] = pairing === "half" ? [1, r] : [2, 1];
    for (let t = 0; t < T; t++) {
      for (let i = 0; i < r; i++) {
        const cos = magnitude * Math.cos(angles[t * r + i]);
        const sin = magnitude * Math.sin(angles[t * r + i]);
        for (let h = 0; h < H; h++) {
          const a = (t * H + h) * D + offset + i * step;
          const b = a + gap;
          out[a] = x[a] * cos - x[b] * sin;
          out[b] = x[b] * cos + x[a] * sin;
        }
      }
    }
  },
  flops: ({ T, H, r }) => 6 * T * H * r,
  samples: [
    { dims: { T: 2, H: 3, D: 6, r: 3 }, attrs: { pairing: "half", magnitude: 1 } },
    { dims: { T: 2, H: 3, D: 6, r: 2 }, attrs: { pairing: "adjacent", magnitude: 1.25 } },
    { dims: { T: 2, H: 2, D: 7, r: 2 }, attrs: { pairing: "adjacent", magnitude: 1, offset: 3 } },
  ],
});
