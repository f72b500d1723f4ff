import { cacheLeaf, input } from "./builder.ts";
import { prune } from "./rewrite.ts";
import type { Tape } from "./tape.ts";
import { isLeaf, type Node, type Value } from "./value.ts";

/** A value of the tape that something outside of it computes: the tape gives `from` and is given `to`, a float input. */
export interface Gap {
  readonly from: Value;
  readonly to: Value;
}

/** One stretch of a tape between gaps. */
export interface Part {
  readonly tape: Tape;
  /** Outputs of this part that are inputs, of the same name, of later ones. */
  readonly handedOn: readonly string[];
  /** Indices of the gaps that are to be closed after it, in the order of the tape. */
  readonly gaps: readonly number[];
}

/** The output of a part that holds what a gap starts from. */
export function gapOutput(gap: number): string {
  return `gap ${gap}`;
}

/**
 * Cuts a tape at its gaps: part n holds what can be computed once the gaps of parts before it are closed. Values that
 * a later part needs become outputs of the part that makes them; keys and values stay in the cache.
 */
export function splitAtGaps(tape: Tape, gaps: readonly Gap[]): readonly Part[] {
  const levels = new Levels(tape, gaps);
  const nParts = 1 + Math.max(0, ...gaps.map(({ to }) => levels.of(to)));
  const handed = new Map<Value, string>();
  const parts = Array.from({ length: nParts }, (_, level) => {
    const nodes = tape.nodes.filter((node) => levels.ofNode(node) === level);
    return handOver(nodes, level, levels, handed);
  });
  return parts.map(({ nodes, moved }, level) => {
    const own = (value: Value): boolean => levels.of(value) === level && !isLeaf(value.from);
    const now = (value: Value): Value => moved.get(value) ?? value;
    const entries = (values: ReadonlyMap<string, Value>) =>
      [...values].filter(([, value]) => own(value)).map(([name, value]) => [name, now(value)] as const);
    const handedOn = [...handed].filter(([value]) => own(value)).map(([, name]) => name);
    const closing = gaps.flatMap(({ from }, gap) => (levels.of(from) === level ? [gap] : []));
    const outputs = new Map([
      ...entries(tape.outputs),
      ...entries(new Map([...handed].map(([value, name]) => [name, value]))),
      ...closing.map((gap) => [gapOutput(gap), now(gaps[gap].from)] as const),
    ]);
    const part = {
      name: tape.name,
      nodes,
      outputs,
      points: new Map(entries(tape.points)),
      state: new Map(entries(tape.state)),
    };
    return { tape: prune(part), handedOn, gaps: closing };
  });
}

/** How many gaps, one after another, must be closed before a value is there. */
class Levels {
  readonly #values = new Map<Value, number>();
  readonly #nodes = new Map<Node, number>();

  constructor(tape: Tape, gaps: readonly Gap[]) {
    const starts = new Map(gaps.map((gap) => [gap.from, gap]));
    const enter = (value: Value, level: number): void => {
      this.#values.set(value, level);
      const gap = starts.get(value);
      if (gap !== undefined) enter(gap.to, level + 1);
    };
    for (const node of tape.nodes) {
      const level = Math.max(0, ...node.inputs.map((value) => (value === undefined ? 0 : this.of(value))));
      this.#nodes.set(node, level);
      for (const value of [...node.outputs, ...node.taps.values()]) enter(value, level);
    }
  }

  of(value: Value): number {
    return this.#values.get(value) ?? 0;
  }

  ofNode(node: Node): number {
    return this.#nodes.get(node) ?? 0;
  }
}

/** The nodes of one part, reading what earlier parts made from inputs, whose names are entered into `handed`. */
function handOver(nodes: readonly Node[], level: number, levels: Levels, handed: Map<Value, string>) {
  const moved = new Map<Value, Value>();
  const incoming = (value: Value): Value => {
    const known = moved.get(value);
    if (known !== undefined) return known;
    if (isLeaf(value.from) || levels.of(value) === level) return value;
    const leaf = value.type === "cache" ? appendedCache(value) : handedInput(value, handed);
    moved.set(value, leaf);
    return leaf;
  };
  const made = nodes.map((node) => {
    const outputs: Value[] = [];
    const taps = new Map<string, Value>();
    const copy: Node = { ...node, inputs: node.inputs.map((value) => value && incoming(value)), outputs, taps };
    for (const value of node.outputs) outputs.push(remake(value, copy, moved));
    for (const [name, value] of node.taps) taps.set(name, remake(value, copy, moved));
    return copy;
  });
  return { nodes: made, moved };
}

function remake(value: Value, from: Node, moved: Map<Value, Value>): Value {
  const made = { ...value, from };
  moved.set(value, made);
  return made;
}

function handedInput(value: Value, handed: Map<Value, string>): Value {
  const name = handed.get(value) ?? `handed ${handed.size}`;
  handed.set(value, name);
  return input(name, value.type === "int" ? "int" : "float", value.shape);
}

function appendedCache(value: Value): Value {
  let { from } = value;
  while (!isLeaf(from)) from = (from.inputs.find((one) => one?.type === "cache") as Value).from;
  if (from.kind !== "cache") throw new Error(`${from.name} is no cache`);
  const { name, type } = from;
  return cacheLeaf(name, value.shape as [number, number, number], { type, isAppended: true });
}
