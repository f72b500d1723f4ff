import { trimEnd, trimStart } from "./white-space.ts";

/** An entry of `added_tokens`: found in a text as a whole, before the text is split any further. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** It marks a place (begin, end, roles) and is not text. */
  readonly special: boolean;
  /** Not within a word. */
  readonly singleWord: boolean;
  /** Takes the white space to its left with it, or to its right. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Found in the normalized text, by its normalized content. */
  readonly normalized: boolean;
}

/** A token that was found, or text between two. */
export type Section = number | string;

/** Finds tokens in a text: of those that begin at the same place the longest, as in Hugging Face's tokenizers. */
export class TokenFinder {
  /** By first UTF-16 unit, longest first. */
  readonly #tokens = new Map<number, { readonly content: string; readonly token: AddedToken }[]>();
  /** Finds places where a token may begin; undefined where there are no tokens. */
  readonly #start: RegExp | undefined;

  /** `contentOf`: what to look for. */
  constructor(tokens: readonly AddedToken[], contentOf: (token: AddedToken) => string) {
    for (const token of tokens) {
      const content = contentOf(token);
      if (content === "") continue;
      const unit = content.charCodeAt(0);
      const beside = this.#tokens.get(unit) ?? [];
      this.#tokens.set(unit, beside);
      beside.push({ content, token });
    }
    for (const beside of this.#tokens.values()) beside.sort((a, b) => b.content.length - a.content.length);
    const units = Array.from(this.#tokens.keys(), (unit) => `\\u${unit.toString(16).padStart(4, "0")}`);
    this.#start = units.length === 0 ? undefined : new RegExp(`[${units.join("")}]`, "g");
  }

  split(text: string): Section[] {
    const start = this.#start;
    if (start === undefined) return [text];
    const sections: Section[] = [];
    let done = 0;
    start.lastIndex = 0;
    for (let found = start.exec(text); found !== null; found = start.exec(text)) {
      const { index } = found;
      const match = this.#at(text, index);
      if (match === undefined) continue;
      const { token, content } = match;
      const end = index + content.length;
      start.lastIndex = end;
      if (token.singleWord && isWithinWord(text, index, end)) continue;
      const before = text.slice(done, index);
      const left = token.lstrip ? trimEnd(before) : before;
      if (left !== "") sections.push(left);
      sections.push(token.id);
      done = token.rstrip ? text.length - trimStart(text.slice(end)).length : end;
    }
    if (done < text.length) sections.push(text.slice(done));
    return sections;
  }

  #at(text: string, index: number) {
    return this.#tokens.get(text.charCodeAt(index))?.find(({ content }) => text.startsWith(content, index));
  }
}

const ENDS_IN_WORD = /[\p{L}\p{M}\p{N}\p{Pc}]$/u;
const BEGINS_WITH_WORD = /^[\p{L}\p{M}\p{N}\p{Pc}]/u;

/** A character has two UTF-16 units at most. */
function isWithinWord(text: string, start: number, end: number): boolean {
  return (
    ENDS_IN_WORD.test(text.slice(Math.max(0, start - 2), start)) || BEGINS_WITH_WORD.test(text.slice(end, end + 2))
  );
}
