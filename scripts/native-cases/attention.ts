/** Attention over caches of both types, whole and expanded, with and without taps, at sizes of real models. */
import type { NamedTensor } from "../../src/checkpoint/write-safetensors.ts";
import { attention, kvAppend, selectRows, toCache } from "../../src/ops/index.ts";
import { buildTape, cacheLeaf, input, keepState, weight } from "../../src/tape/builder.ts";
import { PAGE_SIZE, type RowSequence } from "../../src/tape/rows.ts";
import type { Tape } from "../../src/tape/tape.ts";
import type { KvType, Value } from "../../src/tape/value.ts";
import { randomFloats, randomFrom, shuffled } from "../../test/op-support/random.ts";
import type { TestStep } from "../../test/op-support/steps.ts";
import { expanded, type NativeCase, PLAIN, tapped } from "./case.ts";

interface Sizes {
  readonly H: number;
  readonly K: number;
  readonly D: number;
  readonly E: number;
  readonly window?: number;
  /** How many keys each sequence has cached, and its rows. */
  readonly rows: readonly (readonly [start: number, nRows: number])[];
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
  const random = randomFrom(1);
  const sequences = pagedSequences(sizes, random);
  const earlier = sequences.filter(({ start }) => start > 0).map((s) => ({ ...s, start: 0, nRows: s.start }));
  const weights: NamedTensor[] = [];
  const given = (nRows: number, ...shape: number[]): Value => {
    const name = `w${weights.length}`;
    const length = shape.reduce((product, size) => product * size, nRows);
    weights.push({ name, shape: [nRows, ...shape], data: randomFloats(random, length) });
    return selectRows(weight(name, [nRows, ...shape]), input("allRows", "int", ["T"]));
  };
  const append = (nRows: number): Value => {
    const { K, D, E } = sizes;
    const round = (x: Value): Value => (type === "f32" ? x : toCache(x, { type }));
    const cache = cacheLeaf("cache", [K, D, E], { type });
    return kvAppend(cache, round(given(nRows, K, D)), round(given(nRows, K, E)), input("rows", "rows"));
  };
  const step = (rows: readonly RowSequence[], build: (nRows: number) => Tape): TestStep => {
    const nRows = rows.reduce((total, sequence) => total + sequence.nRows, 0);
    return { tape: build(nRows), sequences: rows, ints: { allRows: Array.from({ length: nRows }, (_, i) => i) } };
  };
  const fill = (nRows: number): Tape =>
    buildTape("fill", () => {
      keepState("cache", append(nRows));
      return {};
    });
  const attend = (nRows: number): Tape =>
    buildTape("attend", () => {
      const { H, D, window } = sizes;
      const cache = append(nRows);
      return {
        out: attention(given(nRows, H, D), cache, input("rows", "rows"), undefined, {
          scale: 1 / Math.sqrt(D),
          window,
        }),
      };
    });
  const steps = [...(earlier.length === 0 ? [] : [step(earlier, fill)]), step(sequences, attend)];
  return { name: `attention ${JSON.stringify(sizes)} ${type}`, weights, steps, storage: PLAIN };
}

/** Pages in random order. */
function pagedSequences({ rows }: Sizes, random: () => number): RowSequence[] {
  const nPages = rows.map(([start, nRows]) => Math.ceil((start + nRows) / PAGE_SIZE));
  const nAll = nPages.reduce((total, n) => total + n, 2);
  const pages = shuffled(
    random,
    Array.from({ length: nAll }, (_, i) => i),
  );
  return rows.map(([start, nRows], i) => ({ pages: pages.splice(0, nPages[i]), start, nRows, ropeVariant: 0 }));
}
