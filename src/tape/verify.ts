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
    node.outputs.forEach((value, i) => {
      if (value.from !== node || !sameShape(value.shape, again.outputs[i].shape)) {
        const got = `${formatShape(value.shape)} instead of ${formatShape(again.outputs[i].shape)}`;
        throw new TapeError("tape.shape", { path: where, expected: "a result has the shape that its op gives", got });
      }
      made.add(value);
    });
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

/** Appending happens in place, so the cache from before the append must have no other use. */
function checkCaches(tape: Tape): void {
  const uses = new Map<Value, Node[]>();
  for (const node of tape.nodes) {
    for (const value of node.inputs) {
      if (value?.type === "cache") uses.set(value, [...(uses.get(value) ?? []), node]);
    }
  }
  for (const [cache, nodes] of uses) {
    const writes = nodes.some((node) => node.op.kind === "primitive" && node.op.writesCache);
    if (isLeaf(cache.from) && !(writes && nodes.length === 1)) {
      throw new TapeError("tape.structure", {
        path: nodes.map(nodePath).join(", "),
        expected: `${cache.from.name} is appended to once, and only its appended form is read`,
      });
    }
  }
}

function nodePath(node: Node): string {
  return node.scope === "" ? node.op.name : `${node.scope} (${node.op.name})`;
}
