import { formatShape } from "../tensor/shape.ts";
import { leavesOf, type Tape } from "./tape.ts";
import { isLeaf, type Node, type Value } from "./value.ts";

/** A tape as text, one node a line: `%3 = matmul(%2, blocks.0.attn.wQ)  [T, 64]  # blocks.0.attn.q`. */
export function printTape(tape: Tape): string {
  const numbers = new Map<Value, string>();
  for (const node of tape.nodes) {
    for (const value of [...node.outputs, ...node.taps.values()]) numbers.set(value, `%${numbers.size}`);
  }
  const nameOf = (value: Value): string => (isLeaf(value.from) ? value.from.name : (numbers.get(value) ?? "?"));
  const names = new Map<Value, string[]>();
  for (const [name, value] of tape.points) names.set(value, [...(names.get(value) ?? []), name]);

  const nodes = tape.nodes.map((node): Line => {
    const args = node.inputs.flatMap((value) => (value === undefined ? [] : [nameOf(value)]));
    const taps = [...node.taps].map(([name, value]) => ` ${name}:${nameOf(value)}`).join("");
    const left = `${node.outputs.map(nameOf).join(", ")}${taps} = ${node.op.name}(${args.join(", ")})${printAttrs(node)}`;
    const shape = node.outputs.map((value) => (value.type === "cache" ? "cache" : formatShape(value.shape))).join(", ");
    const values = [...node.outputs, ...node.taps.values()];
    const labels = [...values.flatMap((value) => names.get(value) ?? []), ...innerNames(node)];
    return [left, shape, labels.join(" ")];
  });
  const leaves = leavesOf(tape).map(
    (value): Line => [
      isLeaf(value.from) && value.from.kind === "constant" ? `${nameOf(value)} (constant)` : nameOf(value),
      value.type === "float" ? formatShape(value.shape) : `${value.type} ${formatShape(value.shape)}`,
      "",
    ],
  );
  const ends = [...tape.outputs, ...tape.state].map(([name, value]): Line => [`${name} = ${nameOf(value)}`, "", ""]);
  return [`tape ${tape.name}`, ...block("given", leaves), ...block("computed", nodes), ...block("gives", ends)].join(
    "\n",
  );
}

type Line = readonly [left: string, shape: string, label: string];

function block(title: string, lines: readonly Line[]): string[] {
  const leftWidth = Math.min(80, Math.max(0, ...lines.map(([left]) => left.length)));
  const shapeWidth = Math.max(0, ...lines.map(([, shape]) => shape.length));
  const print = ([left, shape, label]: Line): string =>
    `  ${left.padEnd(leftWidth)}  ${shape.padEnd(shapeWidth)}${label === "" ? "" : `  # ${label}`}`.trimEnd();
  return [title, ...lines.map(print)];
}

function printAttrs(node: Node): string {
  const parts = Object.entries(node.attrs).filter(([, value]) => value !== undefined);
  return parts
    .map(([name, value]) => ` ${name}=${typeof value === "number" ? Number(value.toPrecision(7)) : value}`)
    .join("");
}

/** Inner points of a composite, in brackets: they exist only where they are read. */
function innerNames(node: Node): string[] {
  if (node.op.kind !== "composite") return [];
  return node.op.innerPoints
    .filter((name) => !node.taps.has(name))
    .map((name) => `(${node.scope === "" ? name : `${node.scope}.${name}`})`);
}
