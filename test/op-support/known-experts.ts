/** Results of the ops of routers and experts, which can be checked in one's head. */

import * as ops from "../../src/ops/index.ts";
import { input } from "../../src/tape/builder.ts";
import type { Value } from "../../src/tape/value.ts";
import { given, type KnownResult } from "./known-results.ts";

const { NaN: NAN, NEGATIVE_INFINITY: MINUS_INFINITY, POSITIVE_INFINITY: INFINITY } = Number;

function ints(name: string, ...shape: number[]): Value {
  return input(name, "int", shape);
}

const scalings: readonly KnownResult[] = [
  {
    promise: "scaleBy multiplies by one number",
    build: () => ops.scaleBy(given([2], 1, -4), { factor: 0.5 }),
    expected: [[0.5, -2]],
  },
  {
    promise: "softCap is nearly x near 0, and never beyond the cap",
    build: () => ops.softCap(given([7], 0, 1e-9, 1, -1, INFINITY, MINUS_INFINITY, NAN), { cap: 2 }),
    expected: [[0, 1e-9, 0.9242343145200195, -0.9242343145200195, 2, -2, NAN]],
  },
  {
    promise: "clampedGlu bounds the gate from above and up on both sides, then adds 1 to up",
    build: () =>
      ops.clampedGlu(given([6], 5, 5, -1, NAN, 1, MINUS_INFINITY), given([6], -5, 0.5, 1, 0, NAN, 0), {
        limit: 1,
        alpha: Math.log(3),
      }),
    expected: [[0, 1.125, -0.5, NAN, NAN, NAN]],
  },
  {
    promise: "normalizeSum divides by the sum and eps",
    build: () => [
      ops.normalizeSum(given([3, 2], 1, 3, -1, 2, 0, 0), { eps: 0 }),
      ops.normalizeSum(given([1, 2], 1, 3), { eps: 4 }),
    ],
    expected: [
      [0.25, 0.75, -1, 2, NAN, NAN],
      [0.125, 0.375],
    ],
  },
  {
    promise: "entropy is that of shares, and knows neither what is not above 0 nor a scale",
    build: () => ops.entropy(given([4, 3], 1, 1, 0, 2, MINUS_INFINITY, 2, 5, 0, 0, 0, -1, NAN)),
    expected: [[Math.LN2, Math.LN2, 0, NAN]],
  },
  {
    promise: "mulRows has one factor for each row",
    build: () => ops.mulRows(given([2, 2], 1, 2, 3, 4), given([2, 1], 10, -1)),
    expected: [[10, 20, -3, -4]],
  },
];

const choices: readonly KnownResult[] = [
  {
    promise: "takeAlong takes entries of each row in the order of the row's indices",
    build: () => ops.takeAlong(given([2, 3], 1, 2, 3, 4, 5, 6), ints("indices", 2, 2)),
    ints: { indices: [2, 0, 1, 1] },
    expected: [[3, 1, 5, 5]],
  },
  {
    promise: "groupScores add up the largest of each group, NaN last",
    build: () => ops.groupScores(given([1, 9], 1, 5, 3, NAN, 4, MINUS_INFINITY, -1, NAN, NAN), { nGroups: 3, k: 2 }),
    expected: [[8, MINUS_INFINITY, NAN]],
  },
  {
    promise: "groupScores of one are the maxima",
    build: () => ops.groupScores(given([2, 4], 1, 2, -3, -4, 7, 7, MINUS_INFINITY, 0), { nGroups: 2, k: 1 }),
    expected: [[2, -3, 7, 0]],
  },
  {
    promise: "topMask breaks ties by the lowest index and puts NaN last",
    build: () => ops.topMask(given([2, 4], 3, 1, 3, 3, NAN, MINUS_INFINITY, NAN, 0), { k: 2 }),
    expected: [[1, 0, 1, 0, 0, 1, 0, 1]],
  },
  {
    promise: "limitGroups leaves the groups of the mask alone",
    build: () => ops.limitGroups(given([2, 4], 1, 2, 3, 4, 5, 6, 7, NAN), given([2, 2], 0, 1, 1, 1)),
    expected: [[MINUS_INFINITY, MINUS_INFINITY, 3, 4, 5, 6, 7, NAN]],
  },
  {
    promise: "limitGroups without a mask leaves everything",
    build: () => ops.limitGroups(given([1, 3], 1, MINUS_INFINITY, 3)),
    expected: [[1, MINUS_INFINITY, 3]],
  },
  {
    promise: "chooseExperts choose by limited scores and order by selection scores",
    build: () => ops.chooseExperts(given([1, 4], MINUS_INFINITY, 2, 3, 1), given([1, 4], 9, 6, 5, 7), { k: 2 }),
    expected: [[1, 2]],
  },
  {
    promise: "chooseExperts break ties by selection scores, then by the lowest index",
    build: () =>
      ops.chooseExperts(given([2, 4], 1, 1, 1, 1, 0, 0, 0, 0), given([2, 4], 1, 3, 2, 3, 5, 5, 5, 5), { k: 3 }),
    expected: [[1, 3, 2, 0, 1, 2]],
  },
  {
    promise: "chooseExperts take forced experts first, banned ones last, and NaN after those",
    build: () => {
      const forced = given([1, 4], 1, INFINITY, 2, 3);
      const banned = given([1, 4], 4, NAN, MINUS_INFINITY, 3);
      return [
        ops.chooseExperts(forced, given([1, 4], 1, 0, 2, 3), { k: 2 }),
        ops.chooseExperts(banned, banned, { k: 4 }),
      ];
    },
    expected: [
      [3, 1],
      [0, 3, 2, 1],
    ],
  },
  {
    promise: "swapExperts put one expert in another's place, in order again, where that is not chosen already",
    build: () =>
      ops.swapExperts(
        ints("indices", 5, 2),
        given([5, 4], ...Array.from({ length: 5 }, () => [4, 3, 2, 1]).flat()),
        ints("active", 5),
        ints("from", 5),
        ints("to", 5),
      ),
    // To be changed; not active; did not choose `from`; chose `to` already; no such expert.
    ints: {
      indices: [1, 2, 0, 1, 2, 3, 0, 1, 0, 1],
      active: [1, 0, 1, 1, 1],
      from: [2, 0, 1, 0, 1],
      to: [0, 3, 0, 1, 4],
    },
    expected: [[0, 1, 0, 1, 2, 3, 0, 1, 0, 1]],
  },
];

/** Two experts' slots for each of three rows, with elements 1 to 12. */
function slots(): Value {
  return given([3, 2, 2], 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
}

const products: readonly KnownResult[] = [
  {
    promise: "matmulIndexed multiplies a row with the matrix of each expert that it chose, and adds its bias",
    build: () =>
      ops.matmulIndexed(
        given([2, 1, 2], 1, 10, 2, 0),
        given([3, 2, 2], 1, 0, 0, 1, 7, 7, 7, 7, 1, 1, 2, 2),
        ints("indices", 2, 2),
        given([3, 2], 100, 200, 300, 400, 500, 600),
      ),
    ints: { indices: [2, 0, 0, 2] },
    expected: [[511, 622, 101, 210, 102, 200, 502, 604]],
  },
  {
    promise: "matmulIndexed gives each slot its own row where x has as many",
    build: () => ops.matmulIndexed(given([1, 2, 1], 3, 4), given([2, 1, 1], 10, 100), ints("indices", 1, 2)),
    ints: { indices: [1, 0] },
    expected: [[300, 40]],
  },
  {
    promise: "matmulIndexed takes matrices that an op gave, also beside an op to which they are other rows",
    build: () => {
      const matrices = ops.scaleBy(given([2, 2, 2], 1, 2, 3, 4, 5, 6, 7, 8), { factor: 10 });
      const products = ops.matmulIndexed(given([1, 1, 2], 1, 0), matrices, ints("indices", 1, 2));
      return [products, ops.selectRows(matrices, ints("one", 1))];
    },
    ints: { indices: [1, 0], one: [1] },
    expected: [
      [50, 70, 10, 30],
      [50, 60, 70, 80],
    ],
  },
  {
    promise: "weighExperts multiply each slot by its weight",
    build: () => ops.weighExperts(given([1, 2, 2], 1, 2, 3, INFINITY), given([1, 2], 10, 0)),
    expected: [[10, 20, 0, NAN]],
  },
  {
    promise: "mixExperts add up the slots of each row by their weights",
    build: () => ops.mixExperts(slots(), given([3, 2], 1, 10, 0, 1, -1, 0)),
    expected: [[31, 42, 7, 8, -9, -10]],
  },
  {
    promise: "mixExperts make NaN of an infinity that weighs nothing",
    build: () => ops.mixExperts(given([1, 2, 2], 1, INFINITY, 2, 3), given([1, 2], 0, 1)),
    expected: [[2, NAN]],
  },
  {
    promise: "editExperts change the slot of the expert that is named, in active rows that chose it",
    build: () =>
      ops.editExperts(
        slots(),
        ints("indices", 3, 2),
        ints("active", 3),
        ints("expert", 3),
        ints("index", 3),
        given([3, 1], 100, 200, 300),
        { kind: "add", nPieces: 2, pieceSize: 1 },
      ),
    ints: { indices: [4, 5, 5, 4, 4, 6], active: [1, 1, 1], expert: [4, 4, 5], index: [1, -1, 0] },
    expected: [[1, 102, 3, 4, 5, 6, 207, 208, 9, 10, 11, 12]],
  },
  {
    promise: "editExperts change all slots where no expert is named",
    build: () =>
      ops.editExperts(
        slots(),
        ints("indices", 3, 2),
        ints("active", 3),
        ints("expert", 3),
        ints("index", 3),
        given([3, 2], 0, 1, 0, 0, 0, 2),
        { kind: "projectOut", nPieces: 1, pieceSize: 2 },
      ),
    ints: { indices: [4, 5, 5, 4, 4, 6], active: [1, 0, 1], expert: [-1, -1, 6], index: [0, 0, -1] },
    expected: [[1, 0, 3, 0, 5, 6, 7, 8, 9, 10, 11, 0]],
  },
];

export const KNOWN_EXPERTS: readonly KnownResult[] = [...scalings, ...choices, ...products];
