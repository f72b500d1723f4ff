import { type AddedToken, TokenFinder } from "./added-tokens.ts";
import type { BytePairEncoding } from "./bpe.ts";
import type { Normalizer } from "./normalizer.ts";
import type { PreTokenizer } from "./pre-tokenizer.ts";

export interface EncoderParts {
  readonly added: readonly AddedToken[];
  readonly normalize: Normalizer;
  readonly preTokenizer: PreTokenizer;
  readonly bpe: BytePairEncoding;
  /** Divides pieces further, where no merge leads across; undefined where there is no such place. */
  readonly boundaries: RegExp | undefined;
}

/** Pieces that are remembered with their ids: words come again. Some tens of megabytes at most. */
const MAX_REMEMBERED = 2 ** 16;
const MAX_REMEMBERED_LENGTH = 64;

/** From text to ids: added tokens, normalizer, pre-tokenizer, merges, in that order. */
export class TextEncoding {
  readonly #parts: EncoderParts;
  readonly #all: AddedTokenFinders;
  readonly #ordinary: AddedTokenFinders;
  readonly #remembered = new Map<string, Int32Array>();

  constructor(parts: EncoderParts) {
    this.#parts = parts;
    const { added, normalize } = parts;
    this.#all = findersOf(added, normalize);
    this.#ordinary = findersOf(
      added.filter(({ special }) => !special),
      normalize,
    );
  }

  /** `findsSpecial`: whether special tokens that the text spells become their ids. */
  encode(text: string, findsSpecial: boolean): number[] {
    const { normalize } = this.#parts;
    const finders = findsSpecial ? this.#all : this.#ordinary;
    const ids: number[] = [];
    let isFirst = true;
    for (const section of finders.asWritten.split(text)) {
      const parts = typeof section === "number" ? [section] : finders.normalized.split(normalize(section));
      for (const part of parts) {
        if (typeof part === "number") ids.push(part);
        else this.#encodeText(part, isFirst, ids);
        isFirst = false;
      }
    }
    return ids;
  }

  #encodeText(text: string, isFirst: boolean, ids: number[]): void {
    const { preTokenizer, boundaries } = this.#parts;
    for (const piece of preTokenizer.split(text, isFirst)) {
      const words = boundaries === undefined ? [piece] : (piece.match(boundaries) ?? []);
      for (const word of words) for (const id of this.#encodeWord(word)) ids.push(id);
    }
  }

  #encodeWord(word: string): Int32Array {
    const known = this.#remembered.get(word);
    if (known !== undefined) return known;
    const { preTokenizer, bpe } = this.#parts;
    const parts = preTokenizer.finish(word).map((piece) => bpe.encode(piece));
    const ids = parts.length === 1 ? parts[0] : Int32Array.from(parts.flatMap((part) => Array.from(part)));
    if (word.length <= MAX_REMEMBERED_LENGTH) {
      if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
      this.#remembered.set(word, ids);
    }
    return ids;
  }
}

interface AddedTokenFinders {
  readonly asWritten: TokenFinder;
  readonly normalized: TokenFinder;
}

function findersOf(added: readonly AddedToken[], normalize: Normalizer): AddedTokenFinders {
  return {
    asWritten: new TokenFinder(
      added.filter(({ normalized }) => !normalized),
      ({ content }) => content,
    ),
    normalized: new TokenFinder(
      added.filter(({ normalized }) => normalized),
      ({ content }) => normalize(content),
    ),
  };
}
