import { TapeError } from "../errors.ts";
import type { Composite, Op } from "./op.ts";
import { bindDims, describeInputs, shapeOf } from "./signature.ts";
import type { Tape } from "./tape.ts";
import type { Attrs, Dim, KvType, Leaf, Node, Shape, Value, ValueType } from "./value.ts";

/**
 * Builds tapes. The builder is ambient, so that a model file reads like its paper, but only inside one synchronous
 * call of `buildTape`: no asynchronous code can see somebody else's builder.
 */

interface Building {
  readonly nodes: Node[];
  readonly points: Map<string, Value>;
  readonly outputs: Map<string, Value>;
  readonly state: Map<string, Value>;
  scope: string;
}

let building: Building | undefined;

function current(): Building {
  if (building === undefined) {
    throw new TapeError("tape.structure", {
      path: "tape",
      expected: "ops, scopes and points exist only while a tape is built",
      remedy: "Call them inside buildTape(...).",
    });
  }
  return building;
}

/** Runs `build`, which returns the outputs by name, and gives the tape of everything it did. */
export function buildTape(name: string, build: () => Readonly<Record<string, Value>>): Tape {
  return run(name, { nodes: [], points: new Map(), outputs: new Map(), state: new Map(), scope: "" }, build);
}

/** The tape with what `build` adds to it; existing nodes, names and outputs stay. */
export function extendTape(tape: Tape, build: () => Readonly<Record<string, Value>>): Tape {
  const { nodes, points, outputs, state } = tape;
  const copy = { nodes: [...nodes], points: new Map(points), outputs: new Map(outputs), state: new Map(state) };
  return run(tape.name, { ...copy, scope: "" }, build);
}

function run(name: string, start: Building, build: () => Readonly<Record<string, Value>>): Tape {
  const outer = building;
  building = start;
  try {
    for (const [key, value] of Object.entries(build())) start.outputs.set(key, value);
  } finally {
    building = outer;
  }
  return { name, nodes: start.nodes, points: start.points, outputs: start.outputs, state: start.state };
}

/** Everything built inside carries `name` in its path. */
export function scope<T>(name: string, build: () => T): T {
  const b = current();
  const outer = b.scope;
  b.scope = outer === "" ? name : `${outer}.${name}`;
  try {
    return build();
  } finally {
    b.scope = outer;
  }
}

/** Runs `build` at an absolute path, as expanding a node needs. */
export function atScope<T>(path: string, build: () => T): T {
  const b = current();
  const outer = b.scope;
  b.scope = path;
  try {
    return build();
  } finally {
    b.scope = outer;
  }
}

/** Names a value so that it can be read and edited; adds no node and changes nothing that is computed. */
export function point(name: string, value: Value): Value {
  const b = current();
  const path = pathOf(name);
  if (b.points.has(path)) {
    throw new TapeError("tape.structure", { path, expected: "a point is named once in a tape" });
  }
  b.points.set(path, value);
  return value;
}

/** Declares how the step leaves the cache of that name. */
export function keepState(cacheName: string, after: Value): void {
  current().state.set(cacheName, after);
}

/** The path of `name` in the current scope. */
export function pathOf(name: string): string {
  const { scope } = current();
  return scope === "" ? name : `${scope}.${name}`;
}

/** Adds one node; all checks of shapes, types and attributes happen here. */
export function emit(op: Op, inputs: readonly (Value | undefined)[], attrs: Attrs): readonly Value[] {
  const node = makeNode(op, inputs, attrs, current().scope);
  current().nodes.push(node);
  return node.outputs;
}

/** As `emit`, with inner values of a composite as taps, which get their points' names. */
export function emitTapped(
  op: Composite,
  inputs: readonly (Value | undefined)[],
  attrs: Attrs,
  innerNames: readonly string[],
): Node {
  const { scope } = current();
  const decomposed = buildTape(op.name, () => ({ out: atScope(scope, () => decompose(op, inputs, attrs)) }));
  const taps = new Map<string, Value>();
  const node = makeNode(op, inputs, attrs, scope, taps);
  for (const name of innerNames) {
    const inner = decomposed.points.get(pathOf(name)) as Value;
    taps.set(name, point(name, { type: inner.type, shape: inner.shape, from: node }));
  }
  current().nodes.push(node);
  return node;
}

/** The ops that define a composite, added to the tape. */
export function decompose(op: Composite, inputs: readonly (Value | undefined)[], attrs: Attrs): Value {
  const named: Record<string, Value> = {};
  op.signature.inputs.forEach((slot, i) => {
    const value = inputs[i];
    if (value !== undefined) named[slot.name] = value;
  });
  return op.decompose(named, attrs);
}

/** The value of a point that the tape being built has. */
export function namedValue(name: string): Value | undefined {
  return current().points.get(pathOf(name));
}

const NO_TAPS: ReadonlyMap<string, Value> = new Map();

/** A checked node that is not yet part of a tape. */
export function makeNode(
  op: Op,
  inputs: readonly (Value | undefined)[],
  attrs: Attrs,
  scope: string,
  taps: ReadonlyMap<string, Value> = NO_TAPS,
): Node {
  const where = scope === "" ? op.name : `${scope} (${op.name})`;
  checkAttrs(op, attrs, where);
  const dims = bindDims(op.signature, inputs, attrs, where);
  const broken =
    op.sizeError(Object.fromEntries([...dims.single].filter((entry) => isNumber(entry)))) ?? rowsError(op, inputs);
  if (broken !== undefined) {
    throw new TapeError("tape.shape", { path: where, expected: broken, got: describeInputs(op.signature, inputs) });
  }
  const outputs: Value[] = [];
  const node: Node = { op, inputs, attrs, scope, outputs, taps };
  for (const slot of op.signature.outputs) {
    const cache = slot.type === "cache" ? inputs.find((value) => value?.type === "cache") : undefined;
    outputs.push({ type: slot.type, shape: cache?.shape ?? shapeOf(slot, dims, where), from: node });
  }
  return node;
}

/** Matrices lie as rows of one length, which programs state before any step. */
function rowsError(op: Op, inputs: readonly (Value | undefined)[]): string | undefined {
  const ragged = op.signature.inputs.find(({ name, dims = [] }, i) => {
    return op.matrices.includes(name) && inputs[i]?.shape.slice(dims.length - 1).some((dim) => typeof dim !== "number");
  });
  return ragged && `a row of ${ragged.name} must have a length that is known before a step`;
}

function isNumber(entry: readonly [string, Dim]): entry is readonly [string, number] {
  return typeof entry[1] === "number";
}

function checkAttrs(op: Op, attrs: Attrs, where: string): void {
  for (const [name, kind] of Object.entries(op.attrs)) {
    const value = attrs[name];
    if (!attrFits(value, kind)) {
      const expected = `attribute ${name} must be ${typeof kind === "string" ? kind : `one of ${kind.join(", ")}`}`;
      throw new TapeError("tape.attribute", { path: where, expected, got: `${value}` });
    }
  }
  const unknown = Object.keys(attrs).find((name) => !Object.hasOwn(op.attrs, name));
  if (unknown !== undefined) {
    throw new TapeError("tape.attribute", { path: where, expected: `${op.name} has no attribute ${unknown}` });
  }
}

function attrFits(value: number | string | undefined, kind: Op["attrs"][string]): boolean {
  if (typeof kind !== "string") return typeof value === "string" && kind.includes(value);
  if (kind.endsWith("?") && value === undefined) return true;
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  if (kind === "real") return true;
  return value > 0 && (kind.startsWith("positive") || Number.isSafeInteger(value));
}

function leaf(from: Leaf, type: ValueType, shape: Shape): Value {
  return { type, shape, from };
}

/** Something that each step supplies: tokens, rows, a selection of rows, the operand of an edit. */
export function input(name: string, type: "int" | "float" | "rows", shape: Shape = []): Value {
  return leaf({ kind: "input", name }, type, shape);
}

/** A parameter of the model by its canonical name; its format is the binding's business. */
export function weight(name: string, shape: readonly number[]): Value {
  return leaf({ kind: "weight", name }, "float", shape);
}

interface CacheOptions {
  readonly type?: KvType;
  /** This step's keys and values are in it already: an earlier part of the step has appended them. */
  readonly isAppended?: boolean;
}

/** One layer's keys and values: [nKvHeads, headDim, vHeadDim]. */
export function cacheLeaf(
  name: string,
  shape: readonly [number, number, number],
  { type = "f32", isAppended = false }: CacheOptions = {},
): Value {
  return leaf({ kind: "cache", name, type, isAppended }, "cache", shape);
}

/** Numbers that follow from the config, such as rotary frequencies. */
export function constant(name: string, data: Float64Array, shape: readonly number[]): Value {
  return leaf({ kind: "constant", name, data }, "float", shape);
}
