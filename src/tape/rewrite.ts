import { atScope, buildTape, decompose, emit, emitTapped, extendTape, keepState, namedValue } from "./builder.ts";
import type { Composite } from "./op.ts";
import type { Tape } from "./tape.ts";
import { isLeaf, type Node, type Value } from "./value.ts";

/** Replaces each composite that `which` selects by the ops it is defined by; repeated until none is left. */
export function expand(tape: Tape, which: (node: Node) => boolean = () => true): Tape {
  const selected = (node: Node): boolean => node.op.kind === "composite" && which(node);
  let result = tape;
  while (result.nodes.some(selected)) result = expandOnce(result, selected);
  return result;
}

function expandOnce(tape: Tape, selected: (node: Node) => boolean): Tape {
  return rebuild(tape, (node, inputs) => {
    if (!selected(node)) return copyNode(node, inputs);
    const outputs = [decompose(node.op as Composite, inputs, node.attrs)];
    const taps = [...node.taps.keys()].map((name): [string, Value] => [name, namedValue(name) as Value]);
    return { outputs, taps: new Map(taps) };
  });
}

/**
 * Asks kernels for inner points of their composites on the side: `which` gives the inner names for a node. The values
 * are named, and everything else is computed as before.
 */
export function tap(tape: Tape, which: (node: Node) => readonly string[]): Tape {
  return rebuild(tape, (node, inputs) => {
    const names = node.op.kind === "composite" ? which(node) : [];
    return names.length === 0 ? copyNode(node, inputs) : emitTapped(node.op as Composite, inputs, node.attrs, names);
  });
}

type Inputs = readonly (Value | undefined)[];

function copyNode(node: Node, inputs: Inputs): Pick<Node, "outputs" | "taps"> {
  if (node.taps.size > 0) return emitTapped(node.op as Composite, inputs, node.attrs, [...node.taps.keys()]);
  return { outputs: emit(node.op, inputs, node.attrs), taps: new Map() };
}

/** What takes a value's place, and points of what would otherwise have none, such as the value itself. */
export interface Replacement {
  readonly value: Value;
  readonly names: ReadonlyMap<string, Value>;
}

/**
 * Puts something else in a value's place, everywhere after it: `replace` is called for each value as soon as it is made,
 * in its node's scope, with the value on the old tape and on the new one, and may add nodes.
 */
export function replaceValues(tape: Tape, replace: (old: Value, made: Value) => Replacement | undefined): Tape {
  const named = new Map<string, Value>();
  const result = rebuild(tape, (node, inputs) => {
    const copy = copyNode(node, inputs);
    const outputs = copy.outputs.map((made, i) => {
      const replaced = replace(node.outputs[i], made);
      if (replaced === undefined) return made;
      for (const [name, value] of replaced.names) named.set(name, value);
      return replaced.value;
    });
    return { ...copy, outputs };
  });
  return { ...result, points: new Map([...result.points, ...named]) };
}

/** The tape with each node as `make` builds it from its new inputs, in the node's own scope. */
function rebuild(tape: Tape, make: (node: Node, inputs: Inputs) => Pick<Node, "outputs" | "taps">): Tape {
  const now = new Map<Value, Value>();
  const mapped = (value: Value): Value => now.get(value) ?? value;
  const inner = buildTape(tape.name, () => {
    for (const node of tape.nodes) {
      const inputs = node.inputs.map((value) => value && mapped(value));
      const made = atScope(node.scope, () => make(node, inputs));
      node.outputs.forEach((value, i) => {
        now.set(value, made.outputs[i]);
      });
      for (const [name, value] of node.taps) now.set(value, made.taps.get(name) as Value);
    }
    for (const [name, value] of tape.state) keepState(name, mapped(value));
    return mapValues(tape.outputs, mapped);
  });
  // Names that the tape had come first; the decompositions have added their inner ones.
  const points = new Map([...tape.points].map(([name, value]) => [name, mapped(value)]));
  for (const [name, value] of inner.points) points.set(name, value);
  return { ...inner, points };
}

function mapValues(values: ReadonlyMap<string, Value>, map: (value: Value) => Value): Record<string, Value> {
  return Object.fromEntries([...values].map(([name, value]) => [name, map(value)]));
}

/** Drops every node that no output (and, unless `keepsState` is false, no cache) depends on. */
export function prune(tape: Tape, { keepsState = true }: { keepsState?: boolean } = {}): Tape {
  const live = new Set<Node>();
  const visit = (value: Value | undefined): void => {
    if (value === undefined || isLeaf(value.from) || live.has(value.from)) return;
    live.add(value.from);
    value.from.inputs.forEach(visit);
  };
  for (const value of tape.outputs.values()) visit(value);
  if (keepsState) for (const value of tape.state.values()) visit(value);
  const isLive = (value: Value): boolean => isLeaf(value.from) || live.has(value.from);
  return {
    ...tape,
    nodes: tape.nodes.filter((node) => live.has(node)),
    points: new Map([...tape.points].filter(([, value]) => isLive(value))),
    state: new Map([...tape.state].filter(([, value]) => isLive(value))),
  };
}

/** The tape with other outputs. */
export function withOutputs(tape: Tape, outputs: Readonly<Record<string, Value>>): Tape {
  return extendTape({ ...tape, outputs: new Map() }, () => outputs);
}
