/** What tests of the weights of components have in common. */

import type { Model, Tensor, WeightPart } from "../../node/index.ts";

/** The parts of a report by the last part of their weights' names. */
export async function partsOf(model: Model, address: string): Promise<Record<string, WeightPart>> {
  const report = await model.weight(address);
  return Object.fromEntries(report.parts.map((part) => [part.weight.split(".").at(-1), part]));
}

/** Rows and columns of a matrix as a list, by plain loops. */
export function cut(matrix: Tensor, rows: number[], columns: number[] = range(0, matrix.shape[1])): number[] {
  return rows.flatMap((row) => columns.map((column) => matrix.at(row, column)));
}

export const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
