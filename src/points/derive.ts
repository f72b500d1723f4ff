import { extendTape } from "../tape/builder.ts";
import { leavesOf, type Tape } from "../tape/tape.ts";
import { isLeaf, type Value } from "../tape/value.ts";
import { atLayer } from "./names.ts";
import type { PointRow } from "./registry.ts";

/** The points of the tape that a point is read from: itself, or the sources of a derived one. */
export function sourcesOf(row: PointRow, layer: number | undefined): string[] {
  return (row.derive?.from ?? [row.name]).map((name) => atLayer(name, layer));
}

/** The value of a derived point, from those of `at`; call it while `tape` is being extended. */
export function buildDerived(
  tape: Tape,
  row: PointRow,
  layer: number | undefined,
  at = (name: string): Value => pointValue(tape, name),
): Value {
  if (row.derive === undefined) throw new Error(`${row.name} is not derived`);
  return row.derive.build(
    (name) => at(atLayer(name, layer)),
    (name) => weightLeaf(tape, atLayer(name, layer)),
  );
}

/** The value that a derived point would have, on a tape of its own; for its shape. */
export function derivePoint(tape: Tape, row: PointRow, layer: number | undefined): Value {
  const extended = extendTape(tape, () => ({ derived: buildDerived(tape, row, layer) }));
  return extended.outputs.get("derived") as Value;
}

export function pointValue(tape: Tape, name: string): Value {
  const value = tape.points.get(name);
  if (value === undefined) throw new Error(`the tape has no value ${name}`);
  return value;
}

/** The leaf of a weight that the tape uses. */
export function weightLeaf(tape: Tape, name: string): Value {
  return leafNamed(tape, "weight", name);
}

export function inputLeaf(tape: Tape, name: string): Value {
  return leafNamed(tape, "input", name);
}

function leafNamed(tape: Tape, kind: "weight" | "input", name: string): Value {
  const leaf = leavesOf(tape).find(({ from }) => isLeaf(from) && from.kind === kind && from.name === name);
  if (leaf === undefined) throw new Error(`the tape has no ${kind} ${name}`);
  return leaf;
}
