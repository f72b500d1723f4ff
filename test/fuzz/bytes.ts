/** What may happen to any bytes on their way. */

import fc from "fast-check";
import { concat } from "../checkpoint-files.ts";

export type Mutation<T> = (value: T) => T;

/** Applies one mutation after another. */
export function mutated<T>(value: T, mutations: readonly Mutation<T>[]): T {
  return mutations.reduce((result, mutate) => mutate(result), value);
}

/** Cut, extended, a byte changed, a piece left out, or written over another place. */
export const byteMutation: fc.Arbitrary<Mutation<Uint8Array>> = fc.oneof(
  fc.nat().map((n) => (bytes: Uint8Array) => bytes.slice(0, n % (bytes.length + 1))),
  fc.uint8Array({ maxLength: 9 }).map((more) => (bytes: Uint8Array) => concat(bytes, more)),
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })).map(([at, flip]) => (bytes: Uint8Array) => {
    const changed = bytes.slice();
    if (bytes.length > 0) changed[at % bytes.length] ^= flip;
    return changed;
  }),
  fc.tuple(fc.nat(), fc.nat(64)).map(([at, length]) => (bytes: Uint8Array) => {
    const from = at % (bytes.length + 1);
    return concat(bytes.subarray(0, from), bytes.subarray(from + length));
  }),
  fc.tuple(fc.nat(), fc.nat(), fc.nat(64)).map(([from, to, length]) => (bytes: Uint8Array) => {
    const start = from % (bytes.length + 1);
    return bytes.slice().copyWithin(to % (bytes.length + 1), start, start + length);
  }),
);

/** Numbers at which integers change their nature, and small ones. */
export const edgeNumber: fc.Arbitrary<bigint> = fc.oneof(
  fc.constantFrom(
    ...[0n, 1n, 255n, 2n ** 16n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 10n ** 9n],
    ...[2n ** 53n - 1n, 2n ** 53n, 2n ** 60n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 32n, 2n ** 64n - 1n],
  ),
  fc.bigInt(0n, 64n),
);
