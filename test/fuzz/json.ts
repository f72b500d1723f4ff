/** What may happen to JSON: to its text, and to the values in it. */

import fc from "fast-check";
import type { Mutation } from "./bytes.ts";

/** Short texts of characters of every length in UTF-8, and of those that JSON and terminals treat in their own way. */
export const anyText = fc.string({
  unit: fc.constantFrom(...'abN 0"\\/{}[]:,.-\0\n\u001b\u007féĠ▁\u0301\u2028\uFEFF\uFFFD\u{1F642}\u{10FFFF}'),
  maxLength: 6,
});

const replacement = fc.oneof(
  fc.constantFrom("-1", "0", "1", "1e3", "0.5", "9007199254740992", "1e400", "null", "[]", "{}", '"F32"', '"U8"', ""),
  fc.constantFrom('"__proto__"', '"constructor"', '"\\ud800"', `${"[".repeat(99)}${"]".repeat(99)}`, '"..\\/x"'),
  fc.nat(64).map(String),
);

/** One of its numbers, strings or marks replaced, or any part repeated. */
export const textMutation: fc.Arbitrary<Mutation<string>> = fc.oneof(
  fc.tuple(fc.nat(), replacement).map(([which, by]) => replaceMatch(/-?\d+/g, which, by)),
  fc.tuple(fc.nat(), replacement).map(([which, by]) => replaceMatch(/"[^"]*"|[[\]{},:]/g, which, by)),
  fc.tuple(fc.nat(), fc.nat(80)).map(([start, length]) => (text: string) => {
    const from = start % (text.length + 1);
    return text.slice(0, from + length) + text.slice(from);
  }),
);

function replaceMatch(pattern: RegExp, which: number, by: string): Mutation<string> {
  return (text) => {
    const matches = [...text.matchAll(pattern)];
    const match = matches[which % matches.length];
    return match === undefined ? text : text.slice(0, match.index) + by + text.slice(match.index + match[0].length);
  };
}

/** Stands for what JSON.stringify could not spell. */
const DEEP = "nested deep";
const DEEP_TEXT = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;

export function jsonText(json: unknown): string {
  return (JSON.stringify(json) ?? "null").replaceAll(`"${DEEP}"`, DEEP_TEXT);
}

const value: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -1,
    0.5,
    1e9,
    2 ** 31,
    2 ** 53,
    1e308,
    "",
    "a",
    "__proto__",
    "[",
    "(?<",
  ),
  fc.constantFrom<unknown>([], {}, [[]], [null], { type: "none" }, { type: "Sequence" }, "\u{10FFFF}", "\uD800"),
  fc.constant(DEEP),
  fc.constant(undefined).map(() => "x".repeat(100_000)),
  anyText,
  fc.integer(),
);

type Place = readonly [holder: Record<string, unknown>, key: string];

/** Every place of a JSON value; of long lists the first three and the last. */
function placesOf(json: unknown): Place[] {
  if (typeof json !== "object" || json === null) return [];
  const holder = json as Record<string, unknown>;
  const keys = Object.keys(holder);
  const chosen = keys.length > 8 && Array.isArray(json) ? [...keys.slice(0, 3), ...keys.slice(-1)] : keys;
  return chosen.flatMap((key): Place[] => [[holder, key], ...placesOf(holder[key])]);
}

/** A value replaced, left out, put in a list, exchanged with another one, or given a key more. */
export const jsonMutation: fc.Arbitrary<Mutation<unknown>> = fc
  .tuple(fc.nat(), fc.nat(), fc.constantFrom("set", "set", "delete", "wrap", "copy", "add"), value)
  .map(([n, m, action, value]) => (json: unknown) => {
    const result = structuredClone(json);
    const places = placesOf(result);
    if (places.length === 0) return value;
    const [holder, key] = places[n % places.length];
    const [other, otherKey] = places[m % places.length];
    if (action === "delete") delete holder[key];
    else if (action === "wrap") holder[key] = [holder[key]];
    else if (action === "copy") holder[key] = structuredClone(other[otherKey]);
    else if (action === "add")
      Object.defineProperty(holder, "__proto__", { value, enumerable: true, configurable: true });
    else holder[key] = value;
    return result;
  });
