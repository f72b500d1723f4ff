import * as library from "@huggingface/tokenizers";
import { isObject, quote, unusable } from "./json.ts";

/** The library's own declarations import in a way that Node's resolution refuses. */
const { SplitPreTokenizer } = library as unknown as {
  SplitPreTokenizer: new (step: object) => { readonly pattern: RegExp | null };
};

/**
 * A pattern of tokenizer.json, a string or an expression of Oniguruma, as one of JavaScript; the library translates.
 * It is global, so its `lastIndex` must be set before use.
 */
export function readPattern(pattern: unknown, path: string): RegExp {
  const source = isObject(pattern) ? (pattern.Regex ?? pattern.String) : undefined;
  if (typeof source !== "string" || source === "") {
    throw unusable(path, "a pattern must be { Regex } or { String }, and not empty", quote(pattern));
  }
  try {
    const { pattern: translated } = new SplitPreTokenizer({
      type: "Split",
      pattern: isObject(pattern) && pattern.Regex === source ? { Regex: foldCase(source) } : pattern,
      behavior: "Isolated",
      invert: false,
    });
    // Expressions are compiled when they are first used, and some are too large for it.
    translated?.test("");
    if (translated !== null) return translated;
  } catch (cause) {
    throw unusable(path, "JavaScript must know the pattern", `"${(cause as Error).message}"`, undefined, cause);
  }
  throw unusable(path, "JavaScript must know the pattern", quote(pattern));
}

/** Groups of letters in any case, `(?i:'s|'ll)`, by Unicode's rules; the library folds ASCII alone, and ſ is an s. */
function foldCase(source: string): string {
  return source.replaceAll(/\(\?i:([^()\\]*)\)/g, (_, group: string) => {
    let isInClass = false;
    const folded = Array.from(group, (character) => {
      if (character === "[" || character === "]") isInClass = character === "[";
      const cases = casesOf(character);
      return cases.length > 1 && !isInClass ? `[${cases}]` : cases;
    });
    return `(?:${folded.join("")})`;
  });
}

/** All characters that are the same letter. */
function casesOf(character: string): string {
  if (!/[A-Za-z]/.test(character)) return character;
  const odd: Readonly<Record<string, string>> = { s: "\u017f", k: "\u212a" };
  const small = character.toLowerCase();
  return small + small.toUpperCase() + (odd[small] ?? "");
}
