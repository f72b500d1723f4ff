/** The contract of every backend (src/backends/contract.ts), beyond what single ops compute. */

import { describe, expect, it } from "vitest";
import { BackendError } from "../src/errors.ts";
import { add, attention, kvAppend, matmul, selectRows, topK } from "../src/ops/index.ts";
import { buildTape, cacheLeaf, constant, input, keepState, weight } from "../src/tape/builder.ts";
import { PAGE_SIZE } from "../src/tape/rows.ts";
import type { Tape } from "../src/tape/tape.ts";
import { CANDIDATES } from "./op-support/backends.ts";
import { loadEngine, runSteps, stepInputs, type TestStep } from "./op-support/steps.ts";

const MAX_NUMBER = 200;

/** Attention without preferences over values that count up, given the numbers of the step's rows: their mean. */
function meanTape(window?: number): Tape {
  return buildTape("mean", () => {
    const rows = input("rows", "rows");
    const numbersOfRows = input("numbersOfRows", "int", ["T"]);
    const numbers = Float64Array.from({ length: MAX_NUMBER }, (_, i) => i);
    const values = selectRows(constant("numbers", numbers, [MAX_NUMBER, 1, 1]), numbersOfRows);
    const zeros = selectRows(constant("zeros", new Float64Array(MAX_NUMBER), [MAX_NUMBER, 1, 1]), numbersOfRows);
    const cache = kvAppend(cacheLeaf("cache", [1, 1, 1]), zeros, values, rows);
    keepState("cache", cache);
    return { mean: attention(zeros, cache, rows, undefined, { scale: 1, window }) };
  });
}

interface Append {
  readonly pages: readonly number[];
  readonly start: number;
  /** One for each row. */
  readonly numbers: readonly number[];
}

function meanStep(appends: readonly Append[], window?: number): TestStep {
  return {
    tape: meanTape(window),
    sequences: appends.map(({ pages, start, numbers }) => ({ pages, start, nRows: numbers.length, ropeVariant: 0 })),
    ints: { numbersOfRows: appends.flatMap(({ numbers }) => numbers) },
  };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}

describe.each(CANDIDATES)("an engine of $backend.name in $precision", ({ backend, precision }) => {
  const run = { backend, precision };

  it("finds the keys of earlier steps, wherever their pages lie", async () => {
    const pages = [5, 0, 3];
    const steps = [
      meanStep([{ pages, start: 0, numbers: range(0, PAGE_SIZE + 1) }]),
      meanStep([{ pages, start: PAGE_SIZE + 1, numbers: range(PAGE_SIZE + 1, 2 * PAGE_SIZE) }]),
      meanStep([{ pages, start: 2 * PAGE_SIZE, numbers: [2 * PAGE_SIZE] }]),
    ];
    const outputs = await runSteps(steps, run);
    const means = outputs.flatMap((output) => [...(output.get("mean")?.data ?? [])]);
    expect(means).toHaveLength(2 * PAGE_SIZE + 1);
    for (const [i, found] of means.entries()) expect(found).toBeCloseTo(i / 2, 5);
  });

  it("forgets keys that a window leaves behind, across pages", async () => {
    const [output] = await runSteps([meanStep([{ pages: [1, 0], start: 0, numbers: range(0, 20) }], 3)], run);
    const expected = range(0, 20).map((i) => mean(range(Math.max(0, i - 2), i + 1)));
    for (const [i, found] of [...(output?.get("mean")?.data ?? [])].entries())
      expect(found).toBeCloseTo(expected[i]!, 5);
  });

  it("keeps sequences apart that share a step, and lets a page be used anew", async () => {
    const outputs = await runSteps(
      [
        meanStep([
          { pages: [1], start: 0, numbers: [10, 20] },
          { pages: [0], start: 0, numbers: [100, 120, 140] },
        ]),
        meanStep([
          { pages: [0], start: 3, numbers: [160] },
          { pages: [1], start: 0, numbers: [7] },
        ]),
      ],
      run,
    );
    const means = outputs.map((output) => [...(output.get("mean")?.data ?? [])].map((x) => Number(x.toFixed(4))));
    expect(means).toEqual([
      [10, 15, 100, 110, 120],
      [130, 7],
    ]);
  });

  it("keeps what is cached when the cache grows", async () => {
    const engine = await loadEngine(run);
    const program = engine.compile(meanTape());
    engine.reserve(1);
    await engine.run(program, stepInputs(meanStep([{ pages: [0], start: 0, numbers: range(0, 16) }])));
    engine.reserve(40);
    engine.reserve(2);
    const outputs = await engine.run(program, stepInputs(meanStep([{ pages: [0, 39], start: 16, numbers: [16] }])));
    expect(outputs.get("mean")?.data[0]).toBeCloseTo(8, 5);
    await engine.close();
  });

  it("runs one program with any number of rows, none included", async () => {
    const engine = await loadEngine({ ...run, weights: [{ name: "w", shape: [2, 1], data: Float32Array.of(3, 5) }] });
    const tape = buildTape("rows", () => ({ rows: selectRows(weight("w", [2, 1]), input("R1", "int", ["R1"])) }));
    const program = engine.compile(tape);
    for (const indices of [[1], [], [0, 1, 0]]) {
      const output = (await engine.run(program, stepInputs({ ints: { R1: indices } }))).get("rows");
      expect(output?.shape).toEqual([indices.length, 1]);
      expect([...(output?.data ?? [])]).toEqual(indices.map((i) => [3, 5][i]));
    }
    await engine.close();
  });

  it("hands out arrays that belong to the caller", async () => {
    const engine = await loadEngine({ ...run, weights: [{ name: "w", shape: [1, 2], data: Float32Array.of(3, 5) }] });
    const program = engine.compile(
      buildTape("outputs", () => {
        const w = weight("w", [1, 2]);
        const sum = add(w, constant("c", Float64Array.of(1, 1), [1, 2]));
        const [, indices] = topK(sum, { k: 1 });
        return { w, sum, again: sum, indices, selection: input("R1", "int", ["R1"]) };
      }),
    );
    const step = stepInputs({ ints: { R1: [1, 0] } });
    const expected = { w: [3, 5], sum: [4, 6], again: [4, 6], indices: [1], selection: [1, 0] };
    for (let time = 0; time < 2; time++) {
      const outputs = await engine.run(program, step);
      for (const [name, numbers] of Object.entries(expected)) {
        const data = outputs.get(name)?.data;
        expect([...(data ?? [])]).toEqual(numbers);
        data?.fill(99);
      }
    }
    await engine.close();
  });

  it("gives numbers in the precision that it was loaded with", async () => {
    const [outputs] = await runSteps([{ tape: constantTape() }], run);
    expect(outputs?.get("third")?.data).toBeInstanceOf(precision === "f32" ? Float32Array : Float64Array);
  });

  it("gives the same bits every time", async () => {
    const steps = Array.from({ length: 2 }, () => meanStep([{ pages: [0, 1], start: 0, numbers: range(3, 30) }]));
    const [first, second] = await runSteps(steps, run);
    expect(second).toEqual(first);
  });

  it("refuses a step without an input that the tape needs", async () => {
    const tape = buildTape("input", () => ({ i: input("R1", "int", ["R1"]) }));
    await expect(runSteps([{ tape }], run)).rejects.toThrow(/^R1: the step must supply this input/);
  });

  it("refuses a weight that is not bound", async () => {
    const tape = buildTape("unbound", () => ({ y: matmul(weight("x", [1, 2]), weight("w", [3, 2])) }));
    await expect(runSteps([{ tape }], run)).rejects.toThrow(/^x: a tape's weights must be bound to the checkpoint/);
  });

  it("rejects with the signal's reason once it is aborted, and runs on afterwards", async () => {
    const engine = await loadEngine(run);
    const program = engine.compile(constantTape());
    const reason = new Error("enough");
    await expect(engine.run(program, stepInputs({}), AbortSignal.abort(reason))).rejects.toBe(reason);
    expect((await engine.run(program, stepInputs({}))).get("third")?.data[0]).toBeCloseTo(2 / 3);
    await engine.close();
  });

  it("refuses to run once it is closed", async () => {
    const engine = await loadEngine(run);
    const program = engine.compile(constantTape());
    await engine.close();
    await expect(engine.run(program, stepInputs({}))).rejects.toThrow(BackendError);
  });

  it("refuses to compile a tape that reads a cache from before the append", async () => {
    const engine = await loadEngine(run);
    const tape = buildTape("early", () => {
      const cache = cacheLeaf("cache", [1, 1, 1]);
      const q = selectRows(constant("q", Float64Array.of(1), [1, 1, 1]), input("numbersOfRows", "int", ["T"]));
      return { z: attention(q, cache, input("rows", "rows"), undefined, { scale: 1 }) };
    });
    expect(() => engine.compile(tape)).toThrow(/cache is appended to once, and only its appended form is read/);
    await engine.close();
  });
});

function constantTape(): Tape {
  return buildTape("constant", () => {
    const third = constant("third", Float64Array.of(1 / 3), [1]);
    return { third: add(third, third) };
  });
}
