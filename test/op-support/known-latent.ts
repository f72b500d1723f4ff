/** Results of multi-head latent attention, which can be checked in one's head. */

import * as ops from "../../src/ops/index.ts";
import { cacheLeaf } from "../../src/tape/builder.ts";
import type { Value } from "../../src/tape/value.ts";
import { given, type KnownResult, ofRows, rows } from "./known-results.ts";

const two = {
  sequences: [{ pages: [0], start: 0, nRows: 2, ropeVariant: 0 }],
  ints: { allRows: [0, 1] },
};

/** Rotated keys 1 and 10, latents (3, 4) and (5, 6). */
function twoLatents(): Value {
  return ops.kvAppend(cacheLeaf("cache", [1, 1, 2]), ofRows([1, 1], 1, 10), ofRows([1, 2], 3, 4, 5, 6), rows());
}

/** Keys of two heads: the first of a latent, and twice the second. */
function wK(): Value {
  return given([2, 2], 1, 0, 0, 2);
}

/** Values of two heads: the latent itself, and its sum beside 0. */
function wV(): Value {
  return given([4, 2], 1, 0, 0, 1, 1, 1, 0, 0);
}

/** Of two heads of which only the first looks at the rotated key: 8; 8, 30 and 16; 16, 24. */
function scores(cache: Value): Value {
  return ops.latentScores(ofRows([2, 2], 1, 1, 1, 0, 1, 1, 1, 0), wK(), cache, rows(), { scale: 2, nope: 1 });
}

export const KNOWN_LATENT: readonly KnownResult[] = [
  {
    promise: "latentScores meet keys made of latents, and the rotated key that heads share",
    build: () => scores(twoLatents()),
    ...two,
    expected: [[8, 8, 30, 16, 16, 24]],
  },
  {
    promise: "latentMix adds up values made of latents",
    build: () => {
      const cache = twoLatents();
      return ops.latentMix(scores(cache), wV(), cache, rows(), { vDim: 2 });
    },
    ...two,
    expected: [[24, 32, 112, 0, 174, 212, 376, 0]],
  },
  {
    promise: "latentAttention with equal scores is the mean of the visible values",
    build: () =>
      ops.latentAttention(ofRows([2, 2], 0, 0, 0, 0, 0, 0, 0, 0), wK(), wV(), twoLatents(), rows(), {
        scale: 1,
        nope: 1,
        vDim: 2,
      }),
    ...two,
    expected: [[3, 4, 7, 0, 4, 5, 9, 0]],
  },
];
