import type { FloatArray } from "../tensor/dtype.ts";
import { numel } from "../tensor/shape.ts";
import type { Rows } from "./rows.ts";
import { bindDims } from "./signature.ts";
import { type Dim, type Node, parseSymbol, type Shape } from "./value.ts";

/** What one step supplies: its rows, and its inputs by name (tokens, selections of rows; operands of edits). */
export interface StepInputs {
  readonly rows: Rows;
  readonly ints: ReadonlyMap<string, Int32Array>;
  /** Row-major in the shapes of the program's float inputs; undefined where it has none. */
  readonly floats?: ReadonlyMap<string, FloatArray>;
}

/** A symbolic size in one step. */
export function sizeOf(dim: Dim, step: StepInputs): number {
  if (typeof dim === "number") return dim;
  const known = sizesOf.get(step) ?? new Map<string, number>();
  sizesOf.set(step, known);
  const size = known.get(dim) ?? resolve(dim, step);
  known.set(dim, size);
  return size;
}

/** The symbols of each step: many values share few of them. */
const sizesOf = new WeakMap<StepInputs, Map<string, number>>();

function resolve(dim: string, { rows, ints }: StepInputs): number {
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

/** Sizes by the names of a node's signature in one step, and `nOut`, the number of elements of its first output. */
export function concreteDims(node: Node, step: StepInputs): Record<string, number> {
  const { single } = bindDims(node.op.signature, node.inputs, node.attrs, node.scope);
  const dims: Record<string, number> = {};
  for (const [name, dim] of single) dims[name] = sizeOf(dim, step);
  dims.nOut = numel(concreteShape(node.outputs[0].shape, step));
  return dims;
}

function selected(name: string, ints: ReadonlyMap<string, Int32Array>): Int32Array {
  const indices = ints.get(name);
  if (indices === undefined) throw new Error(`the step has no selection ${name}`);
  return indices;
}
