import { writeFileSync } from "node:fs";
import {
  chooseExperts,
  edit,
  editExperts,
  limitGroups,
  mulRows,
  selectColumns,
  selectHeads,
  selectRows,
  swapExperts,
  takeAlong,
  topK,
  topMask,
  topRows,
  weighExperts,
} from "../../src/ops/index.ts";
import { type CacheUse, type LoweredProgram, lower, type WeightUse } from "../../src/program/lower.ts";
import type { Op } from "../../src/tape/op.ts";
import { expand } from "../../src/tape/rewrite.ts";
import type { Tape } from "../../src/tape/tape.ts";
import type { Node } from "../../src/tape/value.ts";
import { COMPUTE_FORMATS, isScaledFormat } from "../../src/tensor/format.ts";
import { type Outputs, runSteps, stepInputs, type TestStep } from "../../test/op-support/steps.ts";
import { allCases } from "./all.ts";
import { type NativeCase, PLAIN, type Storage } from "./case.ts";
import { segmentsOf } from "./layout.ts";
import { STEPS, type StoredScales, scaledWeight } from "./scaled.ts";
import { storedBytes } from "./stored-bytes.ts";
import { WordWriter } from "./word-writer.ts";

const MAGIC = 0x63617365;
const KV_TYPES = ["f32", "f16"];
/** Between scattered rows. */
const GAP_BYTES = 6;

/** Writes all cases with the results that they must give, as native/test/cases.h reads them; returns their names. */
export async function writeCases(path: string): Promise<string[]> {
  const cases = [...allCases()];
  const out = new WordWriter();
  out.words(MAGIC, cases.length);
  const names = cases.map(({ name }) => name);
  for (const given of cases) await writeCase(out, given, given.twin === undefined ? -1 : names.indexOf(given.twin));
  writeFileSync(path, out.bytes());
  return names;
}

async function writeCase(out: WordWriter, given: NativeCase, twin: number): Promise<void> {
  const { name, weights, steps } = given;
  const programs = steps.map(({ tape }) => lower(tape));
  const uses = distinct(programs.flatMap((program) => program.weights));
  const caches = distinct(programs.flatMap((program) => program.caches));
  const expected = await expectedOutputs(given);
  out.text(name);
  out.words(twin);
  out.many(uses, (use) => {
    const { data } = weights.find((weight) => weight.name === use.name)!;
    writeWeight(out, use.nCols, Float32Array.from(data), use.isMatrix ? given.storage : PLAIN);
  });
  out.many(caches, ({ type, shape }) => out.words(KV_TYPES.indexOf(type), ...(shape as number[])));
  const pages = steps.flatMap(({ sequences = [] }) => sequences.flatMap((sequence) => sequence.pages));
  out.words(Math.max(0, ...pages) + 1);
  out.many(steps, (step, i) => {
    writeProgram(out, programs[i], uses, caches);
    writeInputs(out, step, programs[i]);
    writeExpected(out, step.tape, programs[i], expected[i], tolerance(given));
  });
}

/** How far a result may lie from the exact one: float32 rounds each of a sum's terms. */
function tolerance({ weights, steps }: NativeCase): number {
  if (steps.every(({ tape }) => tape.nodes.every(isExact))) return 0;
  return 2e-6 * Math.sqrt(Math.max(1, ...weights.flatMap(({ shape }) => shape)));
}

/** Whether results are the numbers that are given, or rounded but once. */
function isExact({ op, attrs }: Node): boolean {
  return EXACT.has(op) || ((op === edit.op || op === editExperts.op) && attrs.kind !== "projectOut");
}

const EXACT: ReadonlySet<Op> = new Set(
  [
    ...[selectRows, selectColumns, selectHeads, topK, topRows, mulRows],
    ...[takeAlong, topMask, limitGroups, chooseExperts, swapExperts, weighExperts],
  ].map(({ op }) => op),
);

function distinct<T extends object>(items: readonly T[]): T[] {
  return [...new Map(items.map((item) => [JSON.stringify(item), item])).values()];
}

/** The reference in float64, where inner values that kernels store are ordinary values of the expansion. */
function expectedOutputs({ weights, steps }: NativeCase): Promise<Outputs[]> {
  const primitive = steps.map(({ tape, ...step }): TestStep => {
    const { outputs, points, ...rest } = expand(tape);
    const found = [...tape.outputs.keys()].map((name) => [name, outputs.get(name) ?? points.get(name)!] as const);
    return { ...step, tape: { ...rest, points, outputs: new Map(found) } };
  });
  return runSteps(primitive, { weights });
}

function writeWeight(out: WordWriter, nCols: number, data: Float32Array, storage: Storage): void {
  const { format, isScattered } = storage;
  const nRows = data.length / nCols;
  const { bytes, scales } = isScaledFormat(format)
    ? scaledWeight(format, nRows, nCols, isScattered)
    : { bytes: storedBytes(format, data) };
  const rowBytes = bytes.length / nRows;
  // Between rows that have scales lie rows of the same matrix.
  const gapBytes = scales === undefined ? GAP_BYTES : (STEPS.scattered - 1) * rowBytes;
  const stride = rowBytes + (isScattered ? gapBytes : 0);
  out.words(COMPUTE_FORMATS.indexOf(format), nRows, nCols);
  out.many(segmentsOf(nRows, isScattered), ({ from, to, storedRows }, segment) => {
    const block = new Uint8Array((to - from - 1) * stride + rowBytes);
    for (let row = from; row < to; row++) {
      const at = storedRows?.[row - from] ?? row - from;
      block.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), at * stride);
    }
    out.words(from, to - from, stride);
    out.ints(storedRows ?? []);
    out.rawBytes(block);
    writeScales(out, scales?.[segment]);
  });
}

function writeScales(out: WordWriter, scales: StoredScales | undefined): void {
  const { bytes = new Uint8Array(), rowBytes = 0, rowsPerScale = 0, firstRow = 0 } = scales ?? {};
  out.words(rowBytes, rowsPerScale, firstRow);
  out.rawBytes(bytes);
}

function writeProgram(
  out: WordWriter,
  { words, weights, constants, caches }: LoweredProgram,
  allWeights: readonly WeightUse[],
  allCaches: readonly CacheUse[],
): void {
  const isSame =
    ({ name, isMatrix, nCols }: WeightUse) =>
    (use: WeightUse) =>
      use.name === name && use.isMatrix === isMatrix && use.nCols === nCols;
  out.ints(words);
  out.ints(weights.map((use) => allWeights.findIndex(isSame(use))));
  out.many(constants, (constant) => out.floats(Float32Array.from(constant)));
  out.ints(caches.map(({ name }) => allCaches.findIndex((cache) => cache.name === name)));
}

function writeInputs(out: WordWriter, step: TestStep, program: LoweredProgram): void {
  const { rows, ints, floats } = stepInputs(step);
  out.ints(rows.sequence);
  out.ints(rows.position);
  out.ints(rows.sequences.map(({ ropeVariant }) => ropeVariant));
  out.many(rows.sequences, ({ pages }) => out.ints(pages));
  out.many(program.ints, (name) => out.ints(ints.get(name)!));
  out.many(program.floats, (name) => out.floats(Float32Array.from(floats!.get(name)!)));
}

function writeExpected(
  out: WordWriter,
  tape: Tape,
  program: LoweredProgram,
  expected: Outputs,
  tolerance: number,
): void {
  out.many(program.outputs, (value) => {
    const [name] = [...tape.outputs].find(([, output]) => output === value)!;
    const { data } = expected.get(name)!;
    out.text(name);
    out.words(data instanceof Int32Array ? 1 : 0);
    out.float(tolerance);
    if (data instanceof Int32Array) out.ints(data);
    else out.floats(Float32Array.from(data));
  });
}
