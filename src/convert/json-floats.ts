/**
 * Numbers of JSON that stay floats. JavaScript writes 1.0 as 1, which Python reads as an integer: transformers refuses it
 * where a config's field is a float.
 */

import type { Json } from "../config/reader.ts";

/** The part of the language (ES2026) that TypeScript's libraries do not know yet. */
const { parse, rawJSON } = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  /** What `JSON.stringify` writes as this text. */
  rawJSON(text: string): object;
};

/** JSON in which each float that has no fraction stands as it was written; only for `JSON.stringify`. */
export function keepFloats(text: string): Json {
  return parse(text, (_, value, { source = "" }) =>
    Number.isInteger(value) && /[.eE]/.test(source) ? rawJSON(source) : value,
  ) as Json;
}

/** The same with these keys' numbers, wherever they stand, as floats. */
export function withFloats(json: Json, keys: ReadonlySet<string>): Json {
  const text = JSON.stringify(json, (key, value) =>
    Number.isInteger(value) && keys.has(key) ? rawJSON(`${value}.0`) : value,
  );
  return keepFloats(text);
}
