import { PointError } from "../errors.ts";
import { type GlassPlan, raggedWindow } from "../glass/plan.ts";
import { concreteShape, type StepInputs } from "../tape/sizes.ts";
import type { Precision } from "../tensor/dtype.ts";
import { formatBytes, numel } from "../tensor/shape.ts";

/** Most that one step may hand out: beyond it, a reader has asked for more than can be meant. */
export const MAX_OUTPUT_BYTES = 2 ** 30;

/** Refuses a step whose reads and logits exceed the budget, with what each takes, before anything is computed. */
export function checkBudget(plan: GlassPlan, step: StepInputs, precision: Precision): void {
  const elementBytes = precision === "f32" ? 4 : 8;
  const names = new Map(plan.reads.map(({ output, entry }) => [output, entry.name]));
  const sizes = [...plan.tape.outputs].map(([output, value]): [string, number] => {
    const shape = concreteShape(value.shape, step);
    // A value over visible pairs is handed out as dense [nHeads, T, S].
    const isRagged = raggedWindow(value) !== undefined;
    const nElements = isRagged ? (shape[0] ?? 0) * densePairCount(value.shape.at(-1), step) : numel(shape);
    return [names.get(output) ?? output, nElements * elementBytes];
  });
  const total = sizes.reduce((sum, [, bytes]) => sum + bytes, 0);
  if (total <= MAX_OUTPUT_BYTES) return;
  const largest = sizes.sort(([, a], [, b]) => b - a).slice(0, 3);
  throw new PointError("point.tooLarge", {
    path: largest.map(([name]) => name).join(", "),
    expected: `reads and logits of one step take at most ${formatBytes(MAX_OUTPUT_BYTES)}`,
    got: `${formatBytes(total)} (${largest.map(([name, bytes]) => `${name} ${formatBytes(bytes)}`).join(", ")})`,
    remedy: 'Read fewer points or positions, for instance "blocks.0.attn.pattern@-1", or set logits: "last".',
  });
}

/** Pairs of rows and keys where each row, selected or not, has room for all keys of its sequence. */
function densePairCount(symbol: number | string | undefined, { rows, ints }: StepInputs): number {
  const nKeys = rows.sequences.map(({ start, nRows }) => start + nRows);
  const selection = typeof symbol === "string" ? symbol.split("/")[1] : undefined;
  if (selection === undefined) return rows.sequences.reduce((sum, { nRows }, s) => sum + nRows * nKeys[s], 0);
  const selected = ints.get(selection) ?? new Int32Array();
  return selected.reduce((sum, row) => sum + nKeys[rows.sequence[row]], 0);
}
