import type { NamedTensor } from "../../src/checkpoint/write-safetensors.ts";
import { lower } from "../../src/program/lower.ts";
import type { Op } from "../../src/tape/op.ts";
import { expand, tap } from "../../src/tape/rewrite.ts";
import { blockOf, COMPUTE_FORMATS, type ComputeFormat, decodeRows, isScaledFormat } from "../../src/tensor/format.ts";
import type { TestStep } from "../../test/op-support/steps.ts";
import { scaledWeight } from "./scaled.ts";
import { storedBytes } from "./stored-bytes.ts";

/** Something to run: weights by name, then steps on one engine. */
export interface NativeCase {
  readonly name: string;
  readonly weights: readonly NamedTensor[];
  readonly steps: readonly TestStep[];
  /** How matrices are stored; weights that are read as numbers are plain float32. */
  readonly storage: Storage;
  /** Name of an earlier case whose results must have the same bits. */
  readonly twin?: string;
}

export interface Storage {
  readonly format: ComputeFormat;
  /** Rows lie in several segments, with gaps, some of them in reverse; else one after another. */
  readonly isScattered: boolean;
}

export const PLAIN: Storage = { format: "f32", isScattered: false };

/** The case with its matrices in every format that their rows fit, in order and scattered. */
export function inAllFormats(whole: NativeCase): NativeCase[] {
  const matrices = matrixRows(whole);
  const formats = COMPUTE_FORMATS.filter((format) =>
    [...matrices.values()].every((nCols) => nCols % blockOf(format).nElements === 0),
  );
  const storages = formats.flatMap((format) => [false, true].map((isScattered): Storage => ({ format, isScattered })));
  return storages.map((storage) => ({
    ...whole,
    name: `${whole.name} ${storage.format}${storage.isScattered ? " scattered" : ""}`,
    weights: whole.weights.map((weight) => {
      const nCols = matrices.get(weight.name);
      return nCols === undefined ? weight : asStored(weight, nCols, storage);
    }),
    storage,
  }));
}

/** How long the rows of each matrix are, by its name. */
function matrixRows({ steps }: NativeCase): Map<string, number> {
  const uses = steps.flatMap(({ tape }) => lower(tape).weights);
  return new Map(uses.filter(({ isMatrix }) => isMatrix).map(({ name, nCols }) => [name, nCols]));
}

/** The weight with the numbers that the format holds. */
function asStored(weight: NamedTensor, nCols: number, { format, isScattered }: Storage): NamedTensor {
  if (isScaledFormat(format)) {
    return { ...weight, data: scaledWeight(format, weight.data.length / nCols, nCols, isScattered).values };
  }
  const data = new Float32Array(weight.data.length);
  decodeRows(format, storedBytes(format, Float32Array.from(weight.data)), data, 0);
  return { ...weight, data };
}

/** The case with all inner points of its composite stored on the side. */
export function tapped(whole: NativeCase, op: Op): NativeCase {
  const names = op.kind === "composite" ? op.innerPoints : [];
  const last = whole.steps.at(-1) as TestStep;
  const tape = tap(last.tape, (node) => (node.op === op ? names : []));
  const outputs = new Map([...tape.outputs, ...tape.points]);
  const steps = [...whole.steps.slice(0, -1), { ...last, tape: { ...tape, outputs } }];
  return { ...whole, name: `${whole.name} with taps`, steps, twin: whole.name };
}

/** The case by primitives alone. */
export function expanded(whole: NativeCase): NativeCase {
  const steps = whole.steps.map((step) => ({ ...step, tape: expand(step.tape) }));
  return { ...whole, name: `${whole.name} expanded`, steps };
}
