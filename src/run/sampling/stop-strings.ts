import { optionError } from "./options.ts";

/**
 * Finds the first of some strings in a text that arrives in pieces. What might be the beginning of one is held back,
 * so no part of a stop string is ever given out; how the text is cut into pieces makes no difference.
 */
export class StopStrings {
  readonly #strings: readonly string[];
  #held = "";
  #found: string | undefined;

  constructor(strings: readonly string[]) {
    this.#strings = strings;
  }

  /** The stop string that ended the text. */
  get found(): string | undefined {
    return this.#found;
  }

  /** The text that is known to stand before any stop string. */
  push(piece: string): string {
    const text = this.#held + piece;
    const first = this.#first(text);
    this.#found = first?.string;
    const end = first?.start ?? text.length - this.#nPossible(text);
    this.#held = first === undefined ? text.slice(end) : "";
    return text.slice(0, end);
  }

  /** What was held back, when no text follows. */
  end(): string {
    const text = this.#held;
    this.#held = "";
    return text;
  }

  /** The one that is complete first; of several that end together the longest. */
  #first(text: string): { string: string; start: number } | undefined {
    const found = this.#strings.flatMap((string) => {
      const start = text.indexOf(string);
      return start < 0 ? [] : [{ string, start, end: start + string.length }];
    });
    return found.sort((a, b) => a.end - b.end || a.start - b.start)[0];
  }

  /** How many of the last characters might begin a stop string. */
  #nPossible(text: string): number {
    const lengths = this.#strings.map((string) => {
      let n = Math.min(string.length - 1, text.length);
      while (!text.endsWith(string.slice(0, n))) n--;
      return n;
    });
    return Math.max(0, ...lengths);
  }
}

/** The option `stop` as a list. */
export function checkStop(stop: unknown): string[] {
  const strings: unknown[] = Array.isArray(stop) ? stop : [stop];
  return strings.map((string) => {
    // Text never holds half a surrogate pair, so that could not be found, or would leave the other half.
    if (typeof string === "string" && string !== "" && string.isWellFormed()) return string;
    throw optionError("stop", "must be a text or a list of texts, none empty", JSON.stringify(string) ?? `${string}`);
  });
}
