/** Attention over caches of both types, whole and expanded, with and without taps, at sizes of real models. */
import { attention } from "../../src/ops/index.ts";
import { input } from "../../src/tape/builder.ts";
import type { KvType } from "../../src/tape/value.ts";
import { type CacheSizes, cachedCase } from "./cached.ts";
import { expanded, type NativeCase, tapped } from "./case.ts";

interface Sizes extends CacheSizes {
  readonly H: number;
  readonly window?: number;
  readonly softcap?: number;
  readonly hasSinks?: boolean;
}

const SIZES: readonly Sizes[] = [
  { H: 1, K: 1, D: 1, E: 1, rows: [[0, 1]] },
  { H: 4, K: 1, D: 8, E: 8, rows: [[40, 1]] },
  { H: 8, K: 2, D: 64, E: 64, rows: [[301, 1]] },
  { H: 3, K: 3, D: 80, E: 48, rows: [[0, 37]] },
  { H: 8, K: 4, D: 16, E: 16, rows: [[5, 70]] },
  {
    H: 4,
    K: 2,
    D: 33,
    E: 17,
    rows: [
      [17, 3],
      [0, 1],
      [64, 1],
      [15, 18],
    ],
  },
  {
    H: 4,
    K: 2,
    D: 64,
    E: 64,
    window: 5,
    rows: [
      [40, 6],
      [0, 9],
    ],
  },
  {
    H: 2,
    K: 1,
    D: 32,
    E: 32,
    window: 50,
    rows: [
      [200, 1],
      [60, 40],
    ],
  },
  { H: 8, K: 2, D: 64, E: 64, hasSinks: true, softcap: 3, rows: [[301, 1]] },
  {
    H: 6,
    K: 2,
    D: 32,
    E: 16,
    hasSinks: true,
    softcap: 30,
    window: 20,
    rows: [
      [40, 25],
      [0, 1],
    ],
  },
];

export function* attentionCases(): Generator<NativeCase> {
  for (const sizes of SIZES) {
    for (const type of ["f32", "f16"] as const) {
      const whole = attentionCase(sizes, type);
      yield whole;
      yield tapped(whole, attention.op);
      yield expanded(whole);
    }
  }
}

function attentionCase(sizes: Sizes, type: KvType): NativeCase {
  const { H, D, window, softcap, hasSinks } = sizes;
  return cachedCase(`attention ${JSON.stringify(sizes)} ${type}`, sizes, type, (cache, given) => {
    const sinks = hasSinks ? given.weight(H) : undefined;
    return attention(given.rows(H, D), cache, input("rows", "rows"), sinks, {
      scale: 1 / Math.sqrt(D),
      window,
      softcap,
    });
  });
}
