import { TapeError } from "../errors.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { makeNode } from "./builder.ts";
import type { Tape } from "./tape.ts";
import { isLeaf, type Node, type Value } from "./value.ts";

/**
 * Checks a whole tape, so that backends need not: every value is made before it is used, every node still fits its
 * op's signature, and a cache is appended to at most once and read only afterwards.
 */
export function verify(tape: Tape): void {
  const made = new Set<Value>();
  const check = (value: Value, where: string): void => {
    if (isLeaf(value.from) || made.has(value)) return;
    throw new TapeError("tape.structure", { path: where, expected: "a value is made before it is used" });
  };
  for (const node of tape.nodes) {
    const where = nodePath(node);
    for (const value of node.inputs) if (value !== undefined) check(value, where);
    const again = makeNode(node.op, node.inputs, node.attrs, node.scope);
    again.outputs.forEach(({ type, shape }, i) => {
      const value = node.outputs.at(i);
      if (value?.from !== node || value.type !== type || !sameShape(value.shape, shape)) {
        const found = value === undefined ? "nothing" : `${value.type} ${formatShape(value.shape)}`;
        const got = `${found} instead of ${type} ${formatShape(shape)}`;
        throw new TapeError("tape.shape", { path: where, expected: "a result is of the kind that its op gives", got });
      }
      made.add(value);
    });
    for (const value of node.taps.values()) made.add(value);
  }
  for (const [kind, values] of [
    ["output", tape.outputs],
    ["point", tape.points],
    ["state", tape.state],
  ] as const) {
    for (const [name, value] of values) check(value, `${kind} ${name}`);
  }
  checkCaches(tape);
}

/** Appending happens in place, so there is one append to a cache, and its form from before has no other use. */
function checkCaches(tape: Tape): void {
  const appended = new Set<string>();
  for (const node of tape.nodes) {
    for (const value of node.inputs) {
      if (value?.type !== "cache") continue;
      const name = cacheName(value);
      const writes = node.op.kind === "primitive" && node.op.writesCache;
      if (writes ? appended.has(name) || isAppended(value) : isLeaf(value.from) && !isAppended(value)) {
        throw new TapeError("tape.structure", {
          path: nodePath(node),
          expected: `${name} is appended to once, and only its appended form is read`,
        });
      }
      if (writes) appended.add(name);
    }
  }
}

function isAppended({ from }: Value): boolean {
  return isLeaf(from) && from.kind === "cache" && from.isAppended;
}

/** The name of the leaf that a cache goes back to. */
function cacheName({ from }: Value): string {
  if (isLeaf(from)) return from.name;
  const before = from.inputs.find((value) => value?.type === "cache");
  return before === undefined ? nodePath(from) : cacheName(before);
}

function nodePath(node: Node): string {
  return node.scope === "" ? node.op.name : `${node.scope} (${node.op.name})`;
}
