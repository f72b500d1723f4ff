import type { Engine, Program, StepOutput } from "../backends/contract.ts";
import type { GlassPlan } from "../glass/plan.ts";
import { raggedWindow } from "../glass/ragged.ts";
import { concreteShape, type StepInputs } from "../tape/sizes.ts";
import type { FloatArray } from "../tensor/dtype.ts";
import { closeGap } from "./call-edits.ts";

/**
 * Runs a step's programs one after another, with the functions of the caller between them: what a part hands on, and
 * what a function gives back, are inputs of later parts.
 */
export async function runParts(
  engine: Engine,
  { plan, programs }: { readonly plan: GlassPlan; readonly programs: readonly Program[] },
  given: StepInputs,
  stopped: Parameters<typeof closeGap>[3],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, StepOutput>> {
  if (plan.parts.length === 1) return engine.run(programs[0], given, signal);
  const outputs = new Map<string, StepOutput>();
  const ints = new Map(given.ints);
  const floats = new Map(given.floats);
  for (const [i, part] of plan.parts.entries()) {
    // Sizes are kept by the step, so a step with more inputs is another one.
    const made = await engine.run(
      programs[i],
      { rows: given.rows, ints: new Map(ints), floats: new Map(floats) },
      signal,
    );
    for (const [name, output] of made) outputs.set(name, output);
    for (const name of part.handedOn) {
      const { data } = made.get(name) as StepOutput;
      if (data instanceof Int32Array) ints.set(name, data);
      else floats.set(name, data);
    }
    for (const index of part.gaps) {
      const gap = plan.gaps[index];
      const before = made.get(gap.name) as StepOutput;
      floats.set(gap.name, await closeGap(gap, before, raggedWindow(gap.to), stopped));
      if (signal?.aborted) throw signal.reason;
    }
  }
  // What a function gave back may itself be what somebody reads.
  for (const [name, value] of plan.tape.outputs) {
    const gap = plan.gaps.find(({ to }) => to === value);
    if (gap === undefined) continue;
    const data = floats.get(gap.name) as FloatArray;
    outputs.set(name, { shape: concreteShape(value.shape, given), data: data.slice() });
  }
  return outputs;
}
