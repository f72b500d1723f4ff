import { TapeError } from "../errors.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { type Attrs, type Dim, pairsSymbol, type Shape, type Value, type ValueType } from "./value.ts";

/**
 * Signatures such as `x[..., k], w[n, k], bias?[n] -> [..., n]` say which shapes an op takes and gives.
 *
 * - A name stands for one size, equal wherever it occurs; `...` for any number of sizes; `*` for further leading
 *   sizes before a `...` (suffix broadcasting: `a[*, ...], b[...] -> [*, ...]`); `H*D` for a product.
 * - `?` marks an optional input; `:int`, `:rows`, `:cache` a type other than float.
 * - A size that is an attribute's name takes the attribute's value. Where `rows` is an input, `T` is the step's rows
 *   and `P` its visible pairs under the attribute `window`; `Q` is `P` restricted to a selection `R`.
 */
export interface Signature {
  readonly text: string;
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
}

export interface Slot {
  readonly name: string;
  readonly optional: boolean;
  readonly type: ValueType;
  /** Sizes as written; undefined for rows and for a cache output (which takes the cache input's shape). */
  readonly dims: readonly string[] | undefined;
}

/** Sizes by name; `...` and `*` are bound to lists. */
export interface Dims {
  readonly single: Map<string, Dim>;
  readonly lists: Map<string, Shape>;
}

export function parseSignature(text: string): Signature {
  const [left, right, ...rest] = text.split("->");
  if (left === undefined || right === undefined || rest.length > 0) throw new Error(`${text}: one -> expected`);
  return { text, inputs: parseSlots(left), outputs: parseSlots(right) };
}

function parseSlots(text: string): Slot[] {
  const slots: Slot[] = [];
  const pattern = /([A-Za-z]\w*)?(\?)?(?::(float|int|rows|cache))?(?:\[([^\]]*)\])?(?:,|$)/y;
  const compact = text.replaceAll(/\s/g, "");
  while (pattern.lastIndex < compact.length) {
    const match = pattern.exec(compact);
    if (match === null) throw new Error(`${text}: not a list of values`);
    const [, name = "out", optional, type = "float", dims] = match;
    slots.push({
      name,
      optional: optional !== undefined,
      type: type as ValueType,
      dims: dims === undefined ? undefined : dims.split(",").filter((d) => d !== ""),
    });
  }
  return slots;
}

/** Matches inputs against a signature. `where` names the component in errors. */
export function bindDims(
  signature: Signature,
  inputs: readonly (Value | undefined)[],
  attrs: Attrs,
  where: string,
): Dims {
  const dims: Dims = { single: new Map(), lists: new Map() };
  for (const [name, value] of Object.entries(attrs)) if (typeof value === "number") dims.single.set(name, value);
  if (signature.inputs.some((slot) => slot.type === "rows")) {
    dims.single.set("T", "T");
    dims.single.set("P", pairsSymbol(attrs.window as number | undefined));
  }
  const fail = (invariant: string, remedy?: string): never => {
    throw new TapeError("tape.shape", {
      path: where,
      expected: invariant,
      got: describeInputs(signature, inputs),
      remedy,
    });
  };
  const pending: [Slot, Value][] = [];
  for (const [i, slot] of signature.inputs.entries()) {
    const value = inputs[i];
    if (value === undefined) {
      if (!slot.optional) fail(`needs ${slot.name} (${signature.text})`);
      continue;
    }
    if (value.type !== slot.type) fail(`${slot.name} must be of type ${slot.type}, not ${value.type}`);
    if (slot.dims !== undefined) pending.push([slot, value]);
  }
  // A slot with both `*` and `...` can only be split once another slot has fixed `...`.
  pending.sort(([a], [b]) => Number(isAmbiguous(a)) - Number(isAmbiguous(b)));
  for (const [slot, value] of pending) {
    if (!matchSlot(slot.dims ?? [], value.shape, dims)) fail(`the shapes must fit ${signature.text}`, LAYOUT_HINT);
  }
  const pairs = dims.single.get("P");
  const selection = dims.single.get("R");
  if (pairs !== undefined && selection !== undefined) {
    if (!/^R\d+$/.test(`${selection}`)) fail("R must be the rows of a selection");
    dims.single.set("Q", `${pairs}/${selection}`);
  }
  return dims;
}

const LAYOUT_HINT = "Weights are stored [out, in].";

function isAmbiguous(slot: Slot): boolean {
  return slot.dims?.includes("*") ?? false;
}

/** `x [2, 3], w [4, 3]`: what an op was given, for messages. */
export function describeInputs(signature: Signature, inputs: readonly (Value | undefined)[]): string {
  return signature.inputs
    .flatMap((slot, i) => {
      const value = inputs[i];
      return value === undefined ? [] : [`${slot.name} ${formatShape(value.shape)}`];
    })
    .join(", ");
}

/** Matches one shape from both ends towards the list symbols, binding names as it goes. */
function matchSlot(pattern: readonly string[], shape: Shape, dims: Dims): boolean {
  const firstList = pattern.findIndex(isList);
  if (firstList < 0) return pattern.length === shape.length && pattern.every((p, i) => matchDim(p, shape[i], dims));
  const lastList = pattern.findLastIndex(isList);
  const nAfter = pattern.length - 1 - lastList;
  const end = shape.length - nAfter;
  if (end < firstList) return false;
  return (
    pattern.slice(0, firstList).every((p, i) => matchDim(p, shape[i], dims)) &&
    pattern.slice(lastList + 1).every((p, i) => matchDim(p, shape[end + i], dims)) &&
    matchLists(pattern.slice(firstList, lastList + 1), shape.slice(firstList, end), dims)
  );
}

function isList(pattern: string): boolean {
  return pattern === "..." || pattern === "*";
}

function matchLists(lists: readonly string[], middle: Shape, dims: Dims): boolean {
  let rest = middle;
  if (lists.length === 2) {
    const known = dims.lists.get("...") ?? [];
    if (known.length > rest.length) return false;
    dims.lists.set("*", rest.slice(0, rest.length - known.length));
    rest = rest.slice(rest.length - known.length);
  }
  const bound = dims.lists.get("...");
  if (bound === undefined) dims.lists.set("...", rest);
  return bound === undefined || sameShape(bound, rest);
}

function matchDim(pattern: string, size: Dim, dims: Dims): boolean {
  if (pattern.includes("*") || /^\d+$/.test(pattern)) return evaluate(pattern, dims) === size;
  const bound = dims.single.get(pattern);
  if (bound === undefined) dims.single.set(pattern, size);
  return bound === undefined || bound === size;
}

/** The value of a size as written; undefined where a name is not bound or a product has a symbolic factor. */
function evaluate(pattern: string, dims: Dims): Dim | undefined {
  if (!pattern.includes("*")) return /^\d+$/.test(pattern) ? Number(pattern) : dims.single.get(pattern);
  const factors = pattern.split("*").map((factor) => evaluate(factor, dims));
  return factors.every((f): f is number => typeof f === "number") ? factors.reduce((a, b) => a * b, 1) : undefined;
}

/** The shape of one output under bound sizes. */
export function shapeOf(slot: Slot, dims: Dims, where: string): Shape {
  return (slot.dims ?? []).flatMap((pattern) => {
    if (isList(pattern)) return dims.lists.get(pattern) ?? [];
    const size = evaluate(pattern, dims);
    if (size === undefined) {
      throw new TapeError("tape.shape", { path: where, expected: `size ${pattern} of the result must be known` });
    }
    return [size];
  });
}
