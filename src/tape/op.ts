import type { FloatArray } from "../tensor/dtype.ts";
import type { Rows } from "./rows.ts";
import type { Signature } from "./signature.ts";
import type { Attrs, Value } from "./value.ts";

/** What an attribute may hold. `size`: a positive integer; a trailing `?` makes it optional; a list: one of these. */
export type AttrKind = "size" | "size?" | "real" | "positive" | "positive?" | readonly string[];

/** One layer's cached keys and values as plain loops see them, in slots that `Rows` hands out. */
export interface CacheStorage {
  /** [nSlots, nKvHeads, headDim] */
  readonly k: FloatArray;
  /** [nSlots, nKvHeads, vHeadDim] */
  readonly v: FloatArray;
}

/** What a primitive's reference loops are given. Arrays are row-major; a missing optional input is undefined. */
export interface ReferenceArgs<A> {
  readonly floats: Readonly<Record<string, FloatArray>>;
  readonly ints: Readonly<Record<string, Int32Array>>;
  readonly rows: Rows;
  readonly cache: CacheStorage;
  /** The first output. */
  readonly out: FloatArray;
  /** All outputs by name, for ops that have several. */
  readonly floatOuts: Readonly<Record<string, FloatArray>>;
  readonly intOuts: Readonly<Record<string, Int32Array>>;
  /** Sizes by the names of the signature, and `nOut`, the number of elements of the first output. */
  readonly dims: Readonly<Record<string, number>>;
  readonly attrs: A;
}

/** Work of one execution. */
export interface Cost {
  /** Floating-point operations; a multiply-add counts as 2. */
  readonly flops: number;
  /** Elements read of inputs that are not read whole, by name. */
  readonly reads: Readonly<Record<string, number>>;
}

/** Concrete sizes and attributes for which every backend must agree with the reference. */
export interface Sample {
  /** Sizes by the names of the signature; `...` and `*` stand for one size each. */
  readonly dims: Readonly<Record<string, number>>;
  readonly attrs?: Attrs;
  /** For ops over rows: how many keys each sequence has cached before, and its rows in this step. */
  readonly rows?: readonly { readonly start: number; readonly nRows: number }[];
  /** Of int inputs, by name; random indices under R where undefined. */
  readonly ints?: Readonly<Record<string, readonly number[]>>;
  /** Optional inputs to leave out. */
  readonly without?: readonly string[];
}

interface OpBase {
  readonly name: string;
  /** One sentence and the equation. */
  readonly doc: string;
  readonly signature: Signature;
  readonly attrs: Readonly<Record<string, AttrKind>>;
  /**
   * Inputs that a kernel takes as a matrix in the format in which it is stored, rather than as numbers. The last size of
   * the signature, `...` or not, is a row's.
   */
  readonly matrices: readonly string[];
  /** The invariant on sizes that is broken though the signature fits; sizes that a step fills in are left out. */
  readonly sizeError: (dims: Readonly<Record<string, number>>) => string | undefined;
  readonly samples: readonly Sample[];
}

/** An op that is defined by loops. */
export interface Primitive extends OpBase {
  readonly kind: "primitive";
  reference(args: ReferenceArgs<Attrs>): void;
  /** `dims` as in ReferenceArgs. */
  cost(dims: Readonly<Record<string, number>>, attrs: Attrs): Cost;
  /** True for an op whose result is its input in another shape. */
  readonly movesNoData: boolean;
  /** True for the op that writes this step's keys and values into the cache it is given. */
  readonly writesCache: boolean;
}

/** An op that is defined by other ops; its cost, meaning and inner points follow from that. */
export interface Composite extends OpBase {
  readonly kind: "composite";
  /** The inner values that `decompose` names, relative to the scope of the node. */
  readonly innerPoints: readonly string[];
  decompose(inputs: Readonly<Record<string, Value>>, attrs: Attrs): Value;
}

export type Op = Primitive | Composite;
