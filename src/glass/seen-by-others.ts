import { expand } from "../tape/rewrite.ts";
import type { Tape } from "../tape/tape.ts";
import { isLeaf, type Value } from "../tape/value.ts";

/**
 * Names of the points whose rows become keys and values somewhere after them, which other rows then see. A change of any
 * other point at one row changes nothing at other rows.
 */
export function pointsSeenByOthers(model: Tape): ReadonlySet<string> {
  const tape = expand(model);
  const before = new Set<Value>();
  const visit = (value: Value | undefined): void => {
    if (value === undefined || before.has(value)) return;
    before.add(value);
    if (!isLeaf(value.from)) value.from.inputs.forEach(visit);
  };
  for (const { op, inputs } of tape.nodes) if (op.kind === "primitive" && op.writesCache) inputs.forEach(visit);
  return new Set([...tape.points].filter(([, value]) => before.has(value)).map(([name]) => name));
}
