/** Results of the ops of attention, which can be checked in one's head. */

import * as ops from "../../src/ops/index.ts";
import { cacheLeaf } from "../../src/tape/builder.ts";
import type { Value } from "../../src/tape/value.ts";
import { given, type KnownResult, ofRows, rows, selection, three } from "./known-results.ts";

/** A cache of one head with one dimension: keys 1, 2, 3 and values 3, 5, 10. */
function threeKeys(): Value {
  return ops.kvAppend(cacheLeaf("cache", [1, 1, 1]), ofRows([1, 1], 1, 2, 3), ofRows([1, 1], 3, 5, 10), rows());
}

/** The scores of three rows over the keys that each sees: [1], [1, 2], [1, 2, 3] where there is no window. */
export function threeScores(window?: number): Value {
  return ops.attentionScores(ofRows([1, 1], 2, 2, 2), threeKeys(), rows(), { scale: 0.5, window });
}

/** Equal scores. */
function noScores(cache: Value, window?: number): Value {
  return ops.attentionScores(ofRows([1, 1], 0, 0, 0), cache, rows(), { scale: 1, window });
}

export const KNOWN_ATTENTION: readonly KnownResult[] = [
  {
    promise: "attentionScores scale q · k over the keys that each row sees",
    build: () => threeScores(),
    ...three,
    expected: [[1, 1, 2, 1, 2, 3]],
  },
  {
    promise: "attentionScores see the last keys under a window, the row's own included",
    build: () => threeScores(2),
    ...three,
    expected: [[1, 1, 2, 2, 3]],
  },
  {
    promise: "attentionScores let neighbouring query heads share a key head",
    build: () => {
      const cache = ops.kvAppend(cacheLeaf("cache", [2, 1, 1]), ofRows([2, 1], 1, 10), ofRows([2, 1], 0, 0), rows());
      return ops.attentionScores(ofRows([4, 1], 1, 2, 3, 4), cache, rows(), { scale: 1 });
    },
    sequences: [{ pages: [0], start: 0, nRows: 1, ropeVariant: 0 }],
    ints: { allRows: [0] },
    expected: [[1, 2, 30, 40]],
  },
  {
    promise: "attentionScores stay within a cap",
    build: () => ops.attentionScores(ofRows([1, 1], 2, 2, 2e6), threeKeys(), rows(), { scale: 0.5, softcap: 2 }),
    ...three,
    expected: [[0.9242343145200195, 0.9242343145200195, 1.5231883119115297, 2, 2, 2]],
  },
  {
    promise: "attentionSoftmax spreads equal scores over the keys that each row sees",
    build: () => ops.attentionSoftmax(noScores(threeKeys()), rows(), undefined, {}),
    ...three,
    expected: [[1, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3]],
  },
  {
    promise: "attentionSoftmax leaves a sink its share",
    build: () => {
      const twoHeads = ops.attentionScores(ofRows([2, 1], 0, 0, 0, 0, 0, 0), threeKeys(), rows(), { scale: 1 });
      return ops.attentionSoftmax(twoHeads, rows(), given([2], Math.log(3), Number.NEGATIVE_INFINITY), {});
    },
    ...three,
    expected: [[1 / 4, 1 / 5, 1 / 5, 1 / 6, 1 / 6, 1 / 6, 1, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3]],
  },
  {
    promise: "attentionMix adds up values by their weights",
    build: () => {
      const cache = threeKeys();
      const pattern = ops.attentionScores(ofRows([1, 1], 1, 1, 1), cache, rows(), { scale: 1 });
      return ops.attentionMix(pattern, cache, rows(), {});
    },
    ...three,
    expected: [[3, 13, 43]],
  },
  {
    promise: "attentionMix lets neighbouring query heads share a value head",
    build: () => {
      const cache = ops.kvAppend(cacheLeaf("cache", [2, 1, 1]), ofRows([2, 1], 1, 1), ofRows([2, 1], 1, 10), rows());
      const pattern = ops.attentionScores(ofRows([4, 1], 1, 2, 3, 4), cache, rows(), { scale: 1 });
      return ops.attentionMix(pattern, cache, rows(), {});
    },
    sequences: [{ pages: [0], start: 0, nRows: 1, ropeVariant: 0 }],
    ints: { allRows: [0] },
    expected: [[1, 2, 30, 40]],
  },
  {
    promise: "attention with equal scores is the mean of the visible values",
    build: () => ops.attention(ofRows([1, 1], 0, 0, 0), threeKeys(), rows(), undefined, { scale: 1 }),
    ...three,
    expected: [[3, 4, 6]],
  },
  {
    promise: "attention under a window forgets the keys before it",
    build: () => ops.attention(ofRows([1, 1], 0, 0, 0), threeKeys(), rows(), undefined, { scale: 1, window: 2 }),
    ...three,
    expected: [[3, 4, 7.5]],
  },
  {
    promise: "attention leaves a sink its share, which adds nothing",
    build: () => ops.attention(ofRows([1, 1], 0, 0, 0), threeKeys(), rows(), given([1], 0), { scale: 1 }),
    ...three,
    expected: [[3 / 2, 8 / 3, 18 / 4]],
  },
  {
    promise: "attention sees no difference between scores far beyond a cap",
    build: () => {
      return ops.attention(ofRows([1, 1], 1e6, 1e6, 1e6), threeKeys(), rows(), undefined, { scale: 1, softcap: 0.5 });
    },
    ...three,
    expected: [[3, 4, 6]],
  },
  {
    promise: "topKeys name keys by position, with key −1 and weight 0 where a row sees fewer",
    build: () => ops.topKeys(threeScores(), rows(), { k: 2 }),
    ...three,
    expected: [
      [1, 0, 2, 1, 3, 2],
      [0, -1, 1, 0, 2, 1],
    ],
  },
  {
    promise: "topKeys under a window break ties by the lowest position",
    build: () => ops.topKeys(noScores(threeKeys(), 2), rows(), { k: 2, window: 2 }),
    ...three,
    expected: [
      [0, 0, 0, 0, 0, 0],
      [0, -1, 0, 1, 1, 2],
    ],
  },
  {
    promise: "selectPairs take rows in the order of the indices, head by head",
    build: () => {
      const twoHeads = ops.attentionScores(ofRows([2, 1], 1, 10, 1, 10, 1, 10), threeKeys(), rows(), { scale: 1 });
      return ops.selectPairs(twoHeads, rows(), selection(), {});
    },
    ...three,
    expected: [[1, 2, 3, 1, 10, 20, 30, 10]],
  },
  {
    promise: "selectPairs under a window take the keys that it leaves",
    build: () => ops.selectPairs(threeScores(1), rows(), selection(), { window: 1 }),
    ...three,
    expected: [[3, 1]],
  },
];
