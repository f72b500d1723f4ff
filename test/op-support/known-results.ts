/** Results of ops that can be checked in one's head, as data. */

import * as ops from "../../src/ops/index.ts";
import { constant, input } from "../../src/tape/builder.ts";
import type { RowSequence } from "../../src/tape/rows.ts";
import type { Value } from "../../src/tape/value.ts";

export interface KnownResult {
  readonly promise: string;
  readonly build: () => Value | readonly Value[];
  /** The elements of each result. */
  readonly expected: readonly (readonly number[])[];
  readonly sequences?: readonly RowSequence[];
  readonly ints?: Readonly<Record<string, readonly number[]>>;
  readonly floats?: Readonly<Record<string, readonly number[]>>;
}

const { NaN: NAN, NEGATIVE_INFINITY: MINUS_INFINITY } = Number;
const QUARTER_TURN = Math.PI / 2;

export function given(shape: readonly number[], ...data: number[]): Value {
  return constant("given", Float64Array.from(data), shape);
}

function row(...data: number[]): Value {
  return given([1, data.length], ...data);
}

/** A value with one block of `shape` for each row of the step. */
export function ofRows(shape: readonly number[], ...data: number[]): Value {
  const nRows = data.length / shape.reduce((product, size) => product * size, 1);
  return ops.selectRows(given([nRows, ...shape], ...data), input("allRows", "int", ["T"]));
}

export const rows = (): Value => input("rows", "rows");
export const selection = (): Value => input("R1", "int", ["R1"]);

/** One sequence of three tokens. */
export const three = {
  sequences: [{ pages: [0], start: 0, nRows: 3, ropeVariant: 0 }],
  ints: { allRows: [0, 1, 2], R1: [2, 0] },
};

const elementwise: readonly KnownResult[] = [
  {
    promise: "add repeats b over the leading sizes of a",
    build: () => ops.add(given([2, 2], 1, 2, 3, 4), given([2], 10, 20)),
    expected: [[11, 22, 13, 24]],
  },
  {
    promise: "mul repeats b over the leading sizes of a",
    build: () => ops.mul(given([2, 2], 1, 2, 3, 4), given([2], 10, 20)),
    expected: [[10, 40, 30, 80]],
  },
  { promise: "mul takes one number for all", build: () => ops.mul(row(1, -2), given([], -1)), expected: [[-1, 2]] },
  {
    promise: "divide has one divisor for each row",
    build: () => ops.divide(given([2, 2], 2, 4, 9, 3), given([2, 1], 2, 3)),
    expected: [[1, 2, 3, 1]],
  },
  {
    promise: "relu keeps what is positive",
    build: () => ops.activate(row(-2, 0, 3), { fn: "relu" }),
    expected: [[0, 0, 3]],
  },
  {
    promise: "sigmoid goes from 0 to 1",
    build: () =>
      ops.activate(row(MINUS_INFINITY, -1000, 0, Math.log(3), Number.POSITIVE_INFINITY, NAN), { fn: "sigmoid" }),
    expected: [[0, 0, 0.5, 0.75, 1, NAN]],
  },
  {
    promise: "silu is x · sigmoid(x), also where the exponential overflows",
    build: () => ops.activate(row(-1000, -3, -1, 0, 1, 3, 1000), { fn: "silu" }),
    expected: [[0, -0.14227761953270035, -0.2689414213699951, 0, 0.7310585786300049, 2.8577223804672998, 1000]],
  },
  {
    promise: "gelu is x times the normal distribution's share below x",
    build: () => ops.activate(row(-30, -3, -1, 0, 0.5, 1, 3, 30), { fn: "gelu" }),
    expected: [
      [
        0, -0.004049694094890287, -0.15865525393145707, 0, 0.34573123063700656, 0.8413447460685429, 2.99595030590511,
        30,
      ],
    ],
  },
  {
    promise: "geluTanh is the approximation by tanh",
    build: () => ops.activate(row(-30, -3, -1, 0, 0.5, 1, 3, 30), { fn: "geluTanh" }),
    expected: [
      [
        0, -0.0036373920817729943, -0.15880800939172324, 0, 0.34571400982514394, 0.8411919906082768, 2.996362607918227,
        30,
      ],
    ],
  },
  {
    promise: "glu multiplies the activated gate with the other branch",
    build: () => ops.glu(row(2, -1), row(3, 5), { fn: "relu" }),
    expected: [[6, 0]],
  },
];

const reductions: readonly KnownResult[] = [
  { promise: "center takes the mean away", build: () => ops.center(row(1, 2, 6)), expected: [[-2, -1, 3]] },
  {
    promise: "norm is the length of each row",
    build: () => ops.norm(given([2, 2], 3, 4, 0, 0)),
    expected: [[5, 0]],
  },
  {
    promise: "rms adds eps inside the root",
    build: () => ops.rms(row(3, 4), { eps: 3.5 }),
    expected: [[4]],
  },
  {
    promise: "rmsNorm divides by the root mean square, then multiplies by the gain",
    build: () => ops.rmsNorm(row(3, 4), given([2], 1, 2), { eps: 3.5 }),
    expected: [[0.75, 2]],
  },
  {
    promise: "layerNorm takes the mean away first and adds the bias last",
    build: () => ops.layerNorm(row(1, 3), given([2], 2, 4), given([2], 10, 20), { eps: 3 }),
    expected: [[9, 22]],
  },
  { promise: "sum adds up the last axis", build: () => ops.sum(given([2, 3], 1, 2, 6, -1, 0, 1)), expected: [[9, 0]] },
  {
    promise: "rowNorms are the lengths of rows, columnNorms those of columns",
    build: () => [ops.rowNorms(given([2, 3], 3, 4, 0, 4, 0, 0)), ops.columnNorms(given([2, 3], 3, 4, 0, 4, 0, 0))],
    expected: [
      [5, 4],
      [5, 4, 0],
    ],
  },
  {
    promise: "meanRows is the mean over rows, for each element",
    build: () => ops.meanRows(given([2, 2], 1, 2, 3, 6)),
    expected: [[2, 4]],
  },
  {
    promise: "topRows has the largest of each column first, ties by the first row, NaN last",
    build: () => ops.topRows(given([4, 2], 1, NAN, 3, 5, 3, NAN, 2, 7), { k: 3 }),
    expected: [
      [3, 7, 3, 5, 2, NAN],
      [1, 3, 2, 1, 3, 0],
    ],
  },
  {
    promise: "topRows has row −1 and minus infinity where there are fewer rows",
    build: () => ops.topRows(given([1, 2], 4, 5), { k: 2 }),
    expected: [
      [4, 5, MINUS_INFINITY, MINUS_INFINITY],
      [0, 0, -1, -1],
    ],
  },
  {
    promise: "softmax of equal scores is uniform, however large they are",
    build: () => ops.softmax(given([2, 4], 7, 7, 7, 7, 1e4, 1e4, 1e4, 1e4)),
    expected: [Array(8).fill(0.25)],
  },
  {
    promise: "softmax is in proportion to the exponentials",
    build: () => ops.softmax(given([2, 2], 0, Math.log(3), MINUS_INFINITY, 5)),
    expected: [[0.25, 0.75, 0, 1]],
  },
  {
    promise: "topK breaks ties by the lowest index",
    build: () => ops.topK(given([2, 4], 1, 3, 3, 2, 0, 0, 0, 0), { k: 3 }),
    expected: [
      [3, 3, 2, 0, 0, 0],
      [1, 2, 3, 0, 1, 2],
    ],
  },
  {
    promise: "topK puts NaN last, behind minus infinity",
    build: () => ops.topK(row(NAN, MINUS_INFINITY, NAN, 5), { k: 4 }),
    expected: [
      [5, MINUS_INFINITY, NAN, NAN],
      [3, 1, 0, 2],
    ],
  },
];

const roundings: readonly KnownResult[] = [
  {
    promise: "toCache rounds to 11 bits of mantissa, ties to even, and beyond 65504 to infinity",
    build: () => ops.toCache(row(2048.5, 2049, 2051, 65_504, 65_520, 1e-8), { type: "f16" }),
    expected: [[2048, 2048, 2052, 65_504, Number.POSITIVE_INFINITY, 0]],
  },
];

const products: readonly KnownResult[] = [
  {
    promise: "matmul takes weights as [out, in]",
    build: () => ops.matmul(given([2, 2], 1, 2, 10, 0), given([2, 2], 3, 4, 5, 6)),
    expected: [[11, 17, 30, 50]],
  },
  {
    promise: "matmul adds a bias to each output",
    build: () => ops.matmul(row(1, 2), given([2, 2], 3, 4, 5, 6), given([2], 100, 200)),
    expected: [[111, 217]],
  },
  {
    promise: "matmulPerHead gives each head its own columns of the weights",
    build: () => ops.matmulPerHead(given([1, 2, 2], 1, 2, 3, 4), given([2, 4], 10, 1, 100, 1000, 1, 1, 1, 1)),
    expected: [[12, 3, 4300, 7]],
  },
  {
    promise: "matmulTransposed combines the rows of the weights",
    build: () => ops.matmulTransposed(given([2, 2], 1, 10, 0, -1), given([2, 3], 3, 4, 0, 5, 6, 7)),
    expected: [[53, 64, 70, -5, -6, -7]],
  },
];

const moves: readonly KnownResult[] = [
  {
    promise: "splitHeads and mergeHeads keep the order of the elements",
    build: () => {
      const split = ops.splitHeads(given([1, 6], 1, 2, 3, 4, 5, 6), { nHeads: 3, headDim: 2 });
      return [split, ops.mergeHeads(split)];
    },
    expected: [
      [1, 2, 3, 4, 5, 6],
      [1, 2, 3, 4, 5, 6],
    ],
  },
  {
    promise: "selectRows takes rows in the order of the indices",
    build: () => ops.selectRows(given([3, 2], 1, 2, 3, 4, 5, 6), selection()),
    ints: { R1: [2, 0, 2] },
    expected: [[5, 6, 1, 2, 5, 6]],
  },
  {
    promise: "selectColumns gives columns as rows",
    build: () => ops.selectColumns(given([2, 3], 1, 2, 3, 4, 5, 6), selection()),
    ints: { R1: [2, 0] },
    expected: [[3, 6, 1, 4]],
  },
  {
    promise: "selectHeads takes heads of each row in the order of the indices",
    build: () => ops.selectHeads(given([2, 2, 2], 1, 2, 3, 4, 5, 6, 7, 8), input("heads", "int", [3])),
    ints: { heads: [1, 1, 0] },
    expected: [[3, 4, 3, 4, 1, 2, 7, 8, 7, 8, 5, 6]],
  },
  {
    promise: "positions count on from the cached keys of each sequence",
    build: () => ops.positions(rows()),
    sequences: [
      { pages: [0], start: 2, nRows: 2, ropeVariant: 0 },
      { pages: [1], start: 0, nRows: 1, ropeVariant: 0 },
    ],
    expected: [[2, 3, 0]],
  },
];

const rotations: readonly KnownResult[] = [
  {
    promise: "rotate by a quarter turn pairs the two halves of a head",
    build: () => ops.rotate(given([1, 1, 4], 1, 2, 3, 4), row(QUARTER_TURN, QUARTER_TURN), rotation("half")),
    expected: [[-3, -4, 1, 2]],
  },
  {
    promise: "rotate by a quarter turn pairs neighbours where adjacent",
    build: () => ops.rotate(given([1, 1, 4], 1, 2, 3, 4), row(QUARTER_TURN, QUARTER_TURN), rotation("adjacent")),
    expected: [[-2, 1, -4, 3]],
  },
  {
    promise: "rotate leaves dimensions beyond the pairs, and applies the magnitude to the pairs alone",
    build: () => ops.rotate(given([1, 1, 4], 1, 2, 3, 4), row(QUARTER_TURN), { pairing: "half", magnitude: 2 }),
    expected: [[-4, 2, 3, 4]],
  },
  {
    promise: "rotate from an offset on leaves the dimensions before it",
    build: () => {
      const [x, angles] = [given([1, 1, 5], 9, 1, 2, 3, 4), row(QUARTER_TURN, QUARTER_TURN)];
      return [
        ops.rotate(x, angles, { ...rotation("half"), offset: 1 }),
        ops.rotate(x, angles, { ...rotation("adjacent"), offset: 1 }),
      ];
    },
    expected: [
      [9, -3, -4, 1, 2],
      [9, -2, 1, -4, 3],
    ],
  },
  {
    promise: "rotaryAngles multiply position and frequency, with each sequence's own frequencies",
    build: () => ops.rotaryAngles(given([2, 2], 1, 0.5, 10, 100), rows()),
    sequences: [
      { pages: [0], start: 2, nRows: 2, ropeVariant: 0 },
      { pages: [1], start: 1, nRows: 1, ropeVariant: 1 },
    ],
    expected: [[2, 1, 3, 1.5, 10, 100]],
  },
  {
    promise: "rope turns every head of a row by its position",
    build: () => ops.rope(ofRows([1, 2], 1, 2, 1, 2, 1, 2), given([1, 1], QUARTER_TURN), rows(), rotation("half")),
    ...three,
    expected: [[1, 2, -2, 1, -1, -2]],
  },
  {
    promise: "rope applies the magnitude, also where nothing turns",
    build: () => ops.rope(ofRows([1, 2], 1, 2), given([1, 1], 1), rows(), { pairing: "half", magnitude: 2 }),
    sequences: [{ pages: [0], start: 0, nRows: 1, ropeVariant: 0 }],
    ints: { allRows: [0] },
    expected: [[2, 4]],
  },
];

function rotation(pairing: "half" | "adjacent") {
  return { pairing, magnitude: 1 };
}

export const KNOWN_RESULTS: readonly KnownResult[] = [
  ...elementwise,
  ...reductions,
  ...roundings,
  ...products,
  ...moves,
  ...rotations,
];
