/** Turns a sample of an op into something to run: a tape around the op, random inputs, and the step before it. */

import type { NamedTensor } from "../../src/checkpoint/write-safetensors.ts";
import { attentionMix, attentionScores, attentionSoftmax, kvAppend, selectRows } from "../../src/ops/index.ts";
import { buildTape, cacheLeaf, emit, input, keepState, weight } from "../../src/tape/builder.ts";
import type { Op, Sample } from "../../src/tape/op.ts";
import { PAGE_SIZE, type RowSequence } from "../../src/tape/rows.ts";
import type { Slot } from "../../src/tape/signature.ts";
import type { Tape } from "../../src/tape/tape.ts";
import type { Value } from "../../src/tape/value.ts";
import { randomFloats, randomFrom, shuffled } from "./random.ts";
import type { TestStep } from "./steps.ts";

export interface SampleCase {
  /** Gives the op's results under the names of its signature; of a cache, what attention reads from it. */
  readonly tape: Tape;
  readonly weights: readonly NamedTensor[];
  /** What leaves earlier keys in the cache, where there are any, then the step with the op itself. */
  readonly steps: readonly TestStep[];
  /** The shape that each result must have, from the sample's sizes alone. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
}

type Sizes = Readonly<Record<string, number>>;

export function sampleCase(op: Op, sample: Sample, seed: number): SampleCase {
  const random = randomFrom(seed);
  const sequences = pagedSequences(sample, random);
  const visible = visibleKeys(sample);
  const indices = indicesFor(sample, visible.length, random);
  const Q = sum(indices.map((row) => visible[row] ?? 0));
  const sizes = { K: 1, D: 3, E: 1, T: visible.length, P: sum(visible), Q, ...sample.attrs, ...sample.dims } as Sizes;

  const inputs = new Inputs(sizes, sample, random);
  const tape = buildTape(op.name, () => results(op, sample, inputs));
  const ints = { allRows: range(visible.length), R1: indices, ...sample.ints };
  const steps: TestStep[] = [{ tape, sequences, ints }];
  const earlier = sequences.filter(({ start }) => start > 0).map((s) => ({ ...s, start: 0, nRows: s.start }));
  if (earlier.length > 0) {
    const nRows = sum(earlier.map((sequence) => sequence.nRows));
    const fill = buildTape("fill", () => {
      keepState("cache", inputs.append(nRows));
      return {};
    });
    steps.unshift({ tape: fill, sequences: earlier, ints: { allRows: range(nRows) } });
  }
  const shaped = op.signature.outputs.filter(({ type }) => type !== "cache");
  const shapes = new Map(shaped.map(({ name, dims = [] }) => [name, concrete(dims, sizes)]));
  return { tape, weights: inputs.weights, steps, shapes };
}

function results(op: Op, sample: Sample, inputs: Inputs): Record<string, Value> {
  const writesCache = op.kind === "primitive" && op.writesCache;
  const given = op.signature.inputs.map((slot) => {
    if (sample.without?.includes(slot.name)) return undefined;
    return slot.type === "cache" && writesCache ? inputs.emptyCache() : inputs.of(slot);
  });
  const values = emit(op, given, sample.attrs ?? {});
  const named = op.signature.outputs.map(({ name, type }, i) => {
    const value = values[i] as Value;
    return type === "cache" ? inputs.observe(value) : { [name]: value };
  });
  return Object.assign({}, ...named);
}

/** Makes an op's inputs while a tape is built. */
class Inputs {
  readonly weights: NamedTensor[] = [];
  readonly #sizes: Sizes;
  readonly #sample: Sample;
  readonly #random: () => number;
  readonly #rows = input("rows", "rows");
  readonly #allRows = input("allRows", "int", ["T"]);
  #cache: Value | undefined;

  constructor(sizes: Sizes, sample: Sample, random: () => number) {
    this.#sizes = sizes;
    this.#sample = sample;
    this.#random = random;
  }

  of({ name, type, dims = [] }: Slot): Value {
    const { rows, attrs, ints } = this.#sample;
    if (type === "rows") return this.#rows;
    if (type === "int") {
      if (ints?.[name] === undefined) return input("R1", "int", ["R1"]);
      return input(name, "int", rows === undefined ? concrete(dims, this.#sizes) : dims);
    }
    if (type === "cache") return this.#filledCache();
    if (dims.includes("P")) return this.#scores("H", this.#filledCache(), attrs?.window as number | undefined);
    if (rows !== undefined && dims[0] === "T") return this.#ofRows(dims.slice(1));
    return this.#weight(concrete(dims, this.#sizes));
  }

  emptyCache(): Value {
    const [K, D, E] = concrete(["K", "D", "E"], this.#sizes) as [number, number, number];
    return cacheLeaf("cache", [K, D, E]);
  }

  /** The cache with a random key and value for each row of the step. */
  append(nRows = this.#sizes.T): Value {
    return kvAppend(this.emptyCache(), this.#ofRows(["K", "D"], nRows), this.#ofRows(["K", "E"], nRows), this.#rows);
  }

  /** Results that depend on all keys, and on all values, of a cache. */
  observe(cache: Value): Record<string, Value> {
    const keys = this.#scores("K", cache, undefined);
    return { keys, values: attentionMix(attentionSoftmax(keys, this.#rows, undefined, {}), cache, this.#rows, {}) };
  }

  #filledCache(): Value {
    this.#cache ??= this.append();
    return this.#cache;
  }

  #scores(heads: string, cache: Value, window: number | undefined): Value {
    return attentionScores(this.#ofRows([heads, "D"]), cache, this.#rows, { scale: 1, window });
  }

  /** A value [T, ...] that a step computes, unlike a weight. */
  #ofRows(dims: readonly string[], nRows = this.#sizes.T): Value {
    return selectRows(this.#weight([nRows ?? 0, ...concrete(dims, this.#sizes)]), this.#allRows);
  }

  #weight(shape: readonly number[]): Value {
    const name = `w${this.weights.length}`;
    const length = shape.reduce((product, size) => product * size, 1);
    this.weights.push({ name, shape, data: randomFloats(this.#random, length) });
    return weight(name, shape);
  }
}

/** Sequences whose pages lie in the cache in random order, with unused pages between them. */
function pagedSequences({ rows = [], dims }: Sample, random: () => number): RowSequence[] {
  const nPages = rows.map(({ start, nRows }) => Math.ceil((start + nRows) / PAGE_SIZE));
  const pages = shuffled(random, range(sum(nPages) + 2));
  return rows.map(({ start, nRows }, i) => {
    return { pages: pages.splice(0, nPages[i]), start, nRows, ropeVariant: i % (dims.nVariants ?? 1) };
  });
}

/** How many keys each row sees. */
function visibleKeys({ rows = [], attrs }: Sample): number[] {
  const window = Number(attrs?.window ?? Number.POSITIVE_INFINITY);
  return rows.flatMap(({ start, nRows }) => range(nRows).map((i) => Math.min(start + i + 1, window)));
}

/** Random indices that fit whatever is indexed: rows of the step, or either axis of a table. */
function indicesFor({ rows, dims }: Sample, nRows: number, random: () => number): number[] {
  const sizes = Object.entries(dims).flatMap(([name, size]) => (name === "R" ? [] : [size]));
  const bound = rows === undefined ? Math.min(...sizes) : nRows;
  return Array.from({ length: dims.R ?? 0 }, () => Math.floor(random() * bound));
}

/** A shape of a signature in numbers; a list that the sample gives no size for is empty. */
function concrete(dims: readonly string[], sizes: Sizes): number[] {
  return dims.flatMap((dim) => {
    if (dim === "..." || dim === "*") return sizes[dim] ?? [];
    const factors = dim.split("*").map((name) => (/^\d+$/.test(name) ? Number(name) : (sizes[name] ?? Number.NaN)));
    return factors.reduce((product, size) => product * size, 1);
  });
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
