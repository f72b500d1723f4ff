/** Multi-head latent attention in both of its forms, over caches of both types, whole and expanded, with and without taps. */
import { latentAttention } from "../../src/ops/index.ts";
import { input } from "../../src/tape/builder.ts";
import type { KvType } from "../../src/tape/value.ts";
import { type CacheSizes, cachedCase } from "./cached.ts";
import { expanded, inAllFormats, type NativeCase, tapped } from "./case.ts";

/** D: dimensions of the rotated key; E: of the latent. */
interface Sizes extends CacheSizes {
  readonly H: number;
  readonly nope: number;
  readonly vDim: number;
}

const SIZES: readonly Sizes[] = [
  { H: 1, K: 1, D: 1, E: 1, nope: 1, vDim: 1, rows: [[0, 1]] },
  // Absorbed: runs of keys, heads in parts, more rows than dot products take, sequences side by side.
  { H: 5, K: 1, D: 8, E: 24, nope: 7, vDim: 9, rows: [[40, 1]] },
  { H: 16, K: 1, D: 16, E: 64, nope: 12, vDim: 20, rows: [[530, 1]] },
  { H: 2, K: 1, D: 6, E: 24, nope: 15, vDim: 17, rows: [[250, 14]] },
  {
    H: 6,
    K: 1,
    D: 4,
    E: 18,
    nope: 6,
    vDim: 4,
    rows: [
      [17, 3],
      [0, 1],
      [256, 1],
      [15, 2],
    ],
  },
  // Naive.
  { H: 2, K: 1, D: 8, E: 48, nope: 8, vDim: 8, rows: [[0, 90]] },
  { H: 3, K: 1, D: 5, E: 40, nope: 6, vDim: 7, rows: [[30, 85]] },
  // Both in one step.
  {
    H: 3,
    K: 1,
    D: 4,
    E: 40,
    nope: 6,
    vDim: 5,
    rows: [
      [21, 1],
      [0, 80],
      [300, 2],
      [3, 75],
    ],
  },
];

const IN_ALL_FORMATS: readonly Sizes[] = [
  { H: 2, K: 1, D: 4, E: 768, nope: 70, vDim: 3, rows: [[18, 1]] },
  { H: 1, K: 1, D: 4, E: 256, nope: 3, vDim: 2, rows: [[0, 30]] },
];

export function* latentCases(): Generator<NativeCase> {
  for (const sizes of SIZES) {
    for (const type of ["f32", "f16"] as const) {
      const whole = latentCase(sizes, type);
      yield whole;
      yield tapped(whole, latentAttention.op);
      yield expanded(whole);
    }
  }
  for (const sizes of IN_ALL_FORMATS) yield* inAllFormats(latentCase(sizes, "f32"));
}

function latentCase(sizes: Sizes, type: KvType): NativeCase {
  const { H, D, E, nope, vDim } = sizes;
  return cachedCase(`latentAttention ${JSON.stringify(sizes)} ${type}`, sizes, type, (cache, given) => {
    const [wK, wV] = [given.weight(H * nope, E), given.weight(H * vDim, E)];
    // So that scores differ by about 1: an error of a large one would be a large one of the pattern.
    const scale = 1 / Math.sqrt(nope * E);
    return latentAttention(given.rows(H, nope + D), wK, wV, cache, input("rows", "rows"), { scale, nope, vDim });
  });
}
