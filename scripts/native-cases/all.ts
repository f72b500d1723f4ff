import { OPS } from "../../src/ops/all.ts";
import type { Op, Sample } from "../../src/tape/op.ts";
import { KNOWN, knownTape } from "../../test/op-support/known.ts";
import { sampleCase } from "../../test/op-support/sample-case.ts";
import { attentionCases } from "./attention.ts";
import { inAllFormats, type NativeCase, PLAIN, tapped } from "./case.ts";
import { editCases } from "./edits.ts";
import { latentCases } from "./latent.ts";
import { SAMPLES } from "./samples.ts";

/** Every case, twins after the cases that they resemble. */
export function* allCases(): Generator<NativeCase> {
  for (const op of OPS) {
    if (op.kind === "primitive" && op.movesNoData) continue;
    for (const [i, sample] of [...op.samples, ...(SAMPLES[op.name] ?? [])].entries()) yield* casesOf(op, sample, i);
  }
  yield* attentionCases();
  yield* latentCases();
  yield* editCases();
  yield* knownCases();
}

/** What is known by other means has infinities, NaN and ties among its numbers. */
function* knownCases(): Generator<NativeCase> {
  for (const { promise, build, ...given } of KNOWN) {
    const tape = knownTape(build);
    if (tape.nodes.every(({ op }) => op.kind === "primitive" && op.movesNoData)) continue;
    yield { name: `known: ${promise}`, weights: [], steps: [{ tape, ...given }], storage: PLAIN };
  }
}

function* casesOf(op: Op, sample: Sample, i: number): Generator<NativeCase> {
  const name = `${op.name} ${i} ${JSON.stringify({ ...sample.dims, ...sample.attrs })}`;
  const { weights, steps } = sampleCase(op, sample, 1);
  const whole: NativeCase = { name, weights, steps, storage: PLAIN };
  if (op.matrices.length > 0) yield* inAllFormats(whole);
  else yield whole;
  if (op.kind === "composite" && op.innerPoints.length > 0) yield tapped(whole, op);
}
