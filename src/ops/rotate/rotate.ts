import type { Value } from "../../tape/value.ts";
import { defineOp } from "../define-op.ts";

/** Which dimensions form a pair: i with i + r (`half`, as Hugging Face) or 2i with 2i + 1 (`adjacent`, as the paper). */
export type Pairing = "half" | "adjacent";

export interface RotateAttrs {
  pairing: Pairing;
  /** Factor on cos and sin (YaRN's attention factor; 1 otherwise). */
  magnitude: number;
}

/** For ops that rotate r pairs of D dimensions. */
export function rotaryError({ r, D }: Readonly<Record<string, number>>): string | undefined {
  return 2 * r > D ? `${r} pairs must fit into the dimensions of a head` : undefined;
}

export const rotate = defineOp<(x: Value, angles: Value, attrs: RotateAttrs) => Value, RotateAttrs>({
  name: "rotate",
  doc: "Rotates each of the first r pairs of dimensions by its angle: (a, b) -> (a·cos − b·sin, b·cos + a·sin); dimensions beyond 2r pass.",
  signature: "x[T, H, D], angles[T, r] -> [T, H, D]",
  attrs: { pairing: ["half", "adjacent"], magnitude: "positive" },
  sizeError: rotaryError,
  reference({ floats: { x, angles }, out, dims: { T, H, D, r }, attrs: { pairing, magnitude } }) {
    out.set(x);
    const [step, gap] = pairing === "half" ? [1, r] : [2, 1];
    for (let t = 0; t < T; t++) {
      for (let i = 0; i < r; i++) {
        const cos = magnitude * Math.cos(angles[t * r + i]);
        const sin = magnitude * Math.sin(angles[t * r + i]);
        for (let h = 0; h < H; h++) {
          const a = (t * H + h) * D + i * step;
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
  ],
});
