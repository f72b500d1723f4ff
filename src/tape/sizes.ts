import type { Rows } from "./rows.ts";
import { type Dim, parseSymbol, type Shape } from "./value.ts";

/** What one step supplies: its rows, and its integer inputs (tokens, selections of rows) by name. */
export interface StepInputs {
  readonly rows: Rows;
  readonly ints: ReadonlyMap<string, Int32Array>;
}

/** A symbolic size in one step. */
export function sizeOf(dim: Dim, { rows, ints }: StepInputs): number {
  if (typeof dim === "number") return dim;
  const symbol = parseSymbol(dim);
  if (symbol.kind === "rows") return rows.nRows;
  if (symbol.kind === "selection") return selected(symbol.selection, ints).length;
  const { offset } = rows.visible(symbol.window);
  if (symbol.selection === undefined) return offset[rows.nRows];
  return selected(symbol.selection, ints).reduce((sum, row) => sum + offset[row + 1] - offset[row], 0);
}

export function concreteShape(shape: Shape, step: StepInputs): number[] {
  return shape.map((dim) => sizeOf(dim, step));
}

function selected(name: string, ints: ReadonlyMap<string, Int32Array>): Int32Array {
  const indices = ints.get(name);
  if (indices === undefined) throw new Error(`the step has no selection ${name}`);
  return indices;
}
