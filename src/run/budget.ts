import { PointError } from "../errors.ts";
import type { GlassPlan } from "../glass/plan.ts";
import { raggedWindow } from "../glass/ragged.ts";
import { concreteShape, type StepInputs } from "../tape/sizes.ts";
import type { Value } from "../tape/value.ts";
import type { Precision } from "../tensor/dtype.ts";
import { formatBytes, numel } from "../tensor/shape.ts";

/** Most that one step may hand out: beyond it, a reader has asked for more than can be meant. */
export const MAX_OUTPUT_BYTES = 2 ** 30;

/** Refuses a step whose reads and logits exceed the budget, with what each takes, before anything is computed. */
export function checkBudget(plan: GlassPlan, step: StepInputs, precision: Precision): void {
  const elementBytes = precision === "f32" ? 4 : 8;
  let total = 0;
  for (const value of plan.tape.outputs.values()) total += elementBytes * elementCount(value, step);
  if (total <= MAX_OUTPUT_BYTES) return;
  const names = new Map(plan.reads.map(({ output, entry }) => [output, entry.name]));
  const largest = [...plan.tape.outputs]
    .map(([output, value]) => ({ name: names.get(output) ?? output, bytes: elementBytes * elementCount(value, step) }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 3);
  throw new PointError("point.tooLarge", {
    path: largest.map(({ name }) => name).join(", "),
    expected: `reads and logits of one step take at most ${formatBytes(MAX_OUTPUT_BYTES)}`,
    got: `${formatBytes(total)} (${largest.map(({ name, bytes }) => `${name} ${formatBytes(bytes)}`).join(", ")})`,
    remedy: 'Read fewer points or positions, for instance "blocks.0.attn.pattern@-1", or set logits: "last".',
  });
}

/** Elements of a value as it is handed out: one over visible pairs as dense [nHeads, T, S]. */
function elementCount(value: Value, step: StepInputs): number {
  const shape = concreteShape(value.shape, step);
  if (raggedWindow(value) === undefined) return numel(shape);
  return (shape[0] ?? 0) * densePairCount(value.shape.at(-1), step);
}

/** Pairs of rows and keys where each row, selected or not, has room for all keys of its sequence. */
function densePairCount(symbol: number | string | undefined, { rows, ints }: StepInputs): number {
  const nKeys = rows.sequences.map(({ start, nRows }) => start + nRows);
  const selection = typeof symbol === "string" ? symbol.split("/")[1] : undefined;
  if (selection === undefined) return rows.sequences.reduce((sum, { nRows }, s) => sum + nRows * nKeys[s], 0);
  const selected = ints.get(selection) ?? new Int32Array();
  return selected.reduce((sum, row) => sum + nKeys[rows.sequence[row]], 0);
}
