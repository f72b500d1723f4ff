import { parseSymbol, type Value } from "../tape/value.ts";

/** Of a value over the visible (row, key) pairs, under a sliding window or all of them. */
export interface Ragged {
  readonly window: number | undefined;
}

/** Undefined for a value that is not laid out over keys. */
export function raggedWindow(value: Value): Ragged | undefined {
  for (const dim of value.shape) {
    if (typeof dim !== "string") continue;
    const symbol = parseSymbol(dim);
    if (symbol.kind === "pairs") return { window: symbol.window };
  }
  return undefined;
}
