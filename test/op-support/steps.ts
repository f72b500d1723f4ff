/** Runs tapes on a backend through its public contract, with weights in a checkpoint that lies in memory. */

import { setImmediate } from "node:timers/promises";
import type { Backend, StepOutput } from "../../src/backends/contract.ts";
import { reference } from "../../src/backends/reference/reference.ts";
import { openSafetensorsFile } from "../../src/checkpoint/safetensors.ts";
import { encodeSafetensors, type NamedTensor } from "../../src/checkpoint/write-safetensors.ts";
import type { Host } from "../../src/host.ts";
import { type RowSequence, Rows } from "../../src/tape/rows.ts";
import type { StepInputs } from "../../src/tape/sizes.ts";
import type { Tape } from "../../src/tape/tape.ts";
import type { Precision } from "../../src/tensor/dtype.ts";
import { bindWeights } from "../../src/weights/bind.ts";
import { stored } from "../../src/weights/schema.ts";
import { MemorySource } from "../checkpoint-files.ts";

const host: Host = { nowMs: () => performance.now(), pause: () => setImmediate() };

export interface TestStep {
  readonly tape: Tape;
  readonly sequences?: readonly RowSequence[];
  readonly ints?: Readonly<Record<string, readonly number[]>>;
  readonly floats?: Readonly<Record<string, readonly number[]>>;
}

export interface TestRun {
  readonly backend?: Backend;
  readonly precision?: Precision;
  readonly weights?: readonly NamedTensor[];
}

export type Outputs = ReadonlyMap<string, StepOutput>;

/** A backend with weights, ready to run; close it in the end. */
export async function loadEngine({ backend = reference, precision = "f64", weights = [] }: TestRun = {}) {
  const checkpoint = await openSafetensorsFile(new MemorySource("memory", encodeSafetensors(weights)));
  const specs = new Map(weights.map(({ name, shape }) => [name, stored(name, shape)]));
  const bindings = bindWeights(specs, checkpoint, { prefix: "", ignored: [] }).weights;
  return backend.load({ bindings, checkpoint, precision, host });
}

export function stepInputs({ sequences = [], ints = {}, floats = {} }: Omit<TestStep, "tape">): StepInputs {
  return {
    rows: new Rows(sequences),
    ints: new Map(Object.entries(ints).map(([name, values]) => [name, Int32Array.from(values)])),
    floats: new Map(Object.entries(floats).map(([name, values]) => [name, Float64Array.from(values)])),
  };
}

/** The outputs of each step, run one after another on one engine, so that later ones find the caches of earlier ones. */
export async function runSteps(steps: readonly TestStep[], run: TestRun = {}): Promise<Outputs[]> {
  const engine = await loadEngine(run);
  try {
    const pages = steps.flatMap(({ sequences = [] }) => sequences.flatMap((sequence) => sequence.pages));
    engine.reserve(Math.max(0, ...pages.map((page) => page + 1)));
    const outputs: Outputs[] = [];
    for (const { tape, ...step } of steps) outputs.push(await engine.run(engine.compile(tape), stepInputs(step)));
    return outputs;
  } finally {
    await engine.close();
  }
}
