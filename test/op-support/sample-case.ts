/** Turns a sample of an op into something to run: a tape around the op, random inputs, and the steps before it. */

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
  /** The op's results under the names of its signature; of a cache, what attention reads from it. */
  readonly tape: Tape;
  readonly weights: readonly NamedTensor[];
  /** What earlier steps leave in the cache, then the step with the op itself. */
  readonly steps: readonly TestStep[];
  /** The shape that each of the op's own results must have, from the sample's sizes alone. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
}

/** Selection of all rows in their order, which turns a weight into a value of the step. */
const ALL_ROWS = "R8";
const INDICES = "R1";

export function sampleCase(op: Op, sample: Sample, seed: number): SampleCase {
  const built = new CaseBuilder(op, sample, seed);
  const tape = buildTape(op.name, () => built.outputs());
  const ints = { [ALL_ROWS]: range(built.nRows), [INDICES]: built.indices() };
  const steps: TestStep[] = [{ tape, sequences: built.sequences, ints }];
  const earlier = built.sequences
    .filter(({ start }) => start > 0)
    .map((sequence) => ({ ...sequence, start: 0, nRows: sequence.start }));
  if (earlier.length > 0 && built.usesCache) {
    const nRows = earlier.reduce((sum, sequence) => sum + sequence.nRows, 0);
    const fill = buildTape("fill", () => built.fill(nRows));
    steps.unshift({ tape: fill, sequences: earlier, ints: { [ALL_ROWS]: range(nRows) } });
  }
  return { tape, weights: built.weights, steps, shapes: built.shapes() };
}

class CaseBuilder {
  readonly weights: NamedTensor[] = [];
  readonly sequences: readonly RowSequence[];
  readonly nRows: number;
  readonly #op: Op;
  readonly #sample: Sample;
  readonly #sizes: Readonly<Record<string, number>>;
  readonly #random: () => number;
  readonly #rows = input("rows", "rows");
  #cache: Value | undefined;

  constructor(op: Op, sample: Sample, seed: number) {
    const random = randomFrom(seed);
    this.#op = op;
    this.#sample = sample;
    this.#random = random;
    this.sequences = pagedSequences(sample, random);
    this.nRows = this.sequences.reduce((sum, { nRows }) => sum + nRows, 0);
    const attrs = Object.entries(sample.attrs ?? {}).filter(([, value]) => typeof value === "number");
    this.#sizes = { ...Object.fromEntries(attrs), ...this.#rowSizes(), ...sample.dims };
  }

  get usesCache(): boolean {
    return this.#cache !== undefined;
  }

  outputs(): Record<string, Value> {
    const { inputs, outputs } = this.#op.signature;
    const given = inputs.map((slot) => (this.#sample.without?.includes(slot.name) ? undefined : this.#input(slot)));
    const results = emit(this.#op, given, this.#sample.attrs ?? {});
    const named: Record<string, Value> = {};
    for (const [i, { name, type }] of outputs.entries()) {
      if (type === "cache") Object.assign(named, this.#observeCache(results[i]!));
      else named[name] = results[i]!;
    }
    return named;
  }

  fill(nRows: number): Record<string, Value> {
    this.#append(cacheLeaf("cache", this.#cacheShape()), nRows, "earlier");
    return {};
  }

  /** An index that fits whatever is indexed. */
  indices(): number[] {
    const { dims, rows } = this.#sample;
    const sizes = Object.entries(dims).filter(([name]) => name !== "R");
    const bound = rows === undefined ? Math.min(...sizes.map(([, size]) => size)) : this.nRows;
    return Array.from({ length: dims.R ?? 0 }, () => Math.floor(this.#random() * bound));
  }

  shapes(): Map<string, readonly number[]> {
    const indices = this.#sample.rows === undefined ? [] : this.indicesUsed;
    const sizes = { ...this.#sizes, Q: indices.reduce((sum, row) => sum + this.#visible()[row]!, 0) };
    const floatsAndInts = this.#op.signature.outputs.filter(({ type }) => type !== "cache");
    return new Map(floatsAndInts.map(({ name, dims }) => [name, shapeUnder(dims ?? [], sizes)]));
  }

  indicesUsed: readonly number[] = [];
}
