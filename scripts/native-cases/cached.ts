/** Cases of ops that read a cache: what earlier steps left in it, then a step that adds to it and attends. */
import type { NamedTensor } from "../../src/checkpoint/write-safetensors.ts";
import { kvAppend, selectRows, toCache } from "../../src/ops/index.ts";
import { buildTape, cacheLeaf, input, keepState, weight } from "../../src/tape/builder.ts";
import { PAGE_SIZE, type RowSequence } from "../../src/tape/rows.ts";
import type { Tape } from "../../src/tape/tape.ts";
import type { KvType, Value } from "../../src/tape/value.ts";
import { randomFloats, randomFrom, shuffled } from "../../test/op-support/random.ts";
import type { TestStep } from "../../test/op-support/steps.ts";
import { type NativeCase, PLAIN } from "./case.ts";

export interface CacheSizes {
  readonly K: number;
  readonly D: number;
  readonly E: number;
  /** How many keys each sequence has cached, and its rows. */
  readonly rows: readonly (readonly [start: number, nRows: number])[];
}

/** Random values for a step to read. */
export interface Given {
  /** [T, ...shape] */
  rows(...shape: number[]): Value;
  weight(...shape: number[]): Value;
}

/** Whose last step gives what `attend` makes of its cache. */
export function cachedCase(
  name: string,
  { K, D, E, rows }: CacheSizes,
  type: KvType,
  attend: (cache: Value, given: Given) => Value,
): NativeCase {
  const random = randomFrom(1);
  const weights: NamedTensor[] = [];
  const given = (nRows: number): Given => {
    const made = (...shape: number[]): Value => {
      const name = `w${weights.length}`;
      const length = shape.reduce((product, size) => product * size, 1);
      weights.push({ name, shape, data: randomFloats(random, length) });
      return weight(name, shape);
    };
    return { weight: made, rows: (...shape) => selectRows(made(nRows, ...shape), input("allRows", "int", ["T"])) };
  };
  const append = (from: Given): Value => {
    const round = (x: Value): Value => (type === "f32" ? x : toCache(x, { type }));
    const cache = cacheLeaf("cache", [K, D, E], { type });
    return kvAppend(cache, round(from.rows(K, D)), round(from.rows(K, E)), input("rows", "rows"));
  };
  const step = (sequences: readonly RowSequence[], build: (from: Given) => Record<string, Value>): TestStep => {
    const nRows = sequences.reduce((total, sequence) => total + sequence.nRows, 0);
    const tape: Tape = buildTape("step", () => build(given(nRows)));
    return { tape, sequences, ints: { allRows: Array.from({ length: nRows }, (_, i) => i) } };
  };
  const sequences = pagedSequences(rows, random);
  const earlier = sequences.filter(({ start }) => start > 0).map((s) => ({ ...s, start: 0, nRows: s.start }));
  const fill = (from: Given): Record<string, Value> => {
    keepState("cache", append(from));
    return {};
  };
  const last = step(sequences, (from) => ({ out: attend(append(from), from) }));
  return { name, weights, steps: [...(earlier.length === 0 ? [] : [step(earlier, fill)]), last], storage: PLAIN };
}

/** Pages in random order. */
function pagedSequences(rows: CacheSizes["rows"], random: () => number): RowSequence[] {
  const nPages = rows.map(([start, nRows]) => Math.ceil((start + nRows) / PAGE_SIZE));
  const nAll = nPages.reduce((total, n) => total + n, 2);
  const pages = shuffled(
    random,
    Array.from({ length: nAll }, (_, i) => i),
  );
  return rows.map(([start, nRows], i) => ({ pages: pages.splice(0, nPages[i]), start, nRows, ropeVariant: 0 }));
}
