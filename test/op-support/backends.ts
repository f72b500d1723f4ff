import type { Backend } from "../../src/backends/contract.ts";
import { reference } from "../../src/backends/reference/reference.ts";
import type { Precision } from "../../src/tensor/dtype.ts";

/** One way to execute ops, held to the reference in float64. */
export interface Candidate {
  readonly backend: Backend;
  readonly precision: Precision;
  /** Primitives that it does not have, each with the reason. */
  readonly unsupported: Readonly<Record<string, string>>;
}

/** Every backend in the precision that it computes in. */
export const CANDIDATES: readonly Candidate[] = [{ backend: reference, precision: "f32", unsupported: {} }];

/**
 * How far the result of one op on numbers of the size of 1 may lie from the exact one, absolutely or relatively,
 * whichever is more.
 */
export const OP_TOLERANCE: Readonly<Record<Precision, number>> = { f32: 1e-6, f64: 1e-14 };
