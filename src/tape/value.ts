import type { Op } from "./op.ts";

/**
 * A size that is a number, or a symbol that each step fills in:
 * `T` rows of the step; `R0`, `R1`, ... rows of one selection; `P` visible (row, key) pairs, `P16` under a window of
 * 16 keys; `P/R1` the pairs of the rows of one selection.
 */
export type Dim = number | string;
export type Shape = readonly Dim[];

/** float: real numbers in the run's precision. int: int32. rows, cache: opaque to all but a few ops. */
export type ValueType = "float" | "int" | "rows" | "cache";

/** How a cache holds keys and values. */
export type KvType = "f32" | "f16";

/** What a tape is given rather than computes. */
export type Leaf =
  | { readonly kind: "input"; readonly name: string }
  | { readonly kind: "weight"; readonly name: string }
  | { readonly kind: "cache"; readonly name: string; readonly type: KvType; readonly isAppended: boolean }
  | { readonly kind: "constant"; readonly name: string; readonly data: Float64Array };

/** One operation of a tape, at the scope in which it was built. */
export interface Node {
  readonly op: Op;
  /** In the order of the op's signature; undefined where an optional input is left out. */
  readonly inputs: readonly (Value | undefined)[];
  readonly attrs: Attrs;
  readonly scope: string;
  readonly outputs: readonly Value[];
  /** Inner values of a composite that its kernel is to store on the side, by their inner names. */
  readonly taps: ReadonlyMap<string, Value>;
}

export type Attrs = Readonly<Record<string, number | string | undefined>>;

/** A value in static single assignment form: made once, by a leaf or by one output of a node. */
export interface Value {
  readonly type: ValueType;
  /** For a cache: [nKvHeads, headDim, vHeadDim]. Empty for rows. */
  readonly shape: Shape;
  readonly from: Leaf | Node;
}

export function isLeaf(from: Leaf | Node): from is Leaf {
  return "kind" in from;
}

/** The symbol of the visible (row, key) pairs under a sliding window, or without one. */
export function pairsSymbol(window: number | undefined): string {
  return window === undefined ? "P" : `P${window}`;
}

/** What a symbolic size stands for; the inverse of how symbols are written. */
export type SizeSymbol =
  | { readonly kind: "rows" }
  | { readonly kind: "selection"; readonly selection: string }
  | { readonly kind: "pairs"; readonly window: number | undefined; readonly selection: string | undefined };

export function parseSymbol(symbol: string): SizeSymbol {
  if (symbol === "T") return { kind: "rows" };
  if (/^R\d+$/.test(symbol)) return { kind: "selection", selection: symbol };
  const match = /^P(\d*)(?:\/(R\d+))?$/.exec(symbol);
  if (match === null) throw new Error(`${symbol} is not a symbolic size`);
  return { kind: "pairs", window: match[1] === "" ? undefined : Number(match[1]), selection: match[2] };
}
