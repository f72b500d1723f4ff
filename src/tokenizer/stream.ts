import { countLeadingSpaces } from "./token-bytes.ts";

/**
 * Text of tokens as they arrive. A character that is spread over several tokens comes with its last one, and bytes
 * become U+FFFD only once nothing can complete them; all pushes and `end()` together are the text of all ids.
 */
export class TokenStream {
  readonly #bytesOf: (id: number) => Uint8Array;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #nLeadingSpaces: number;

  /** `nLeadingSpaces`: how many spaces at the beginning are not part of the text. */
  constructor(bytesOf: (id: number) => Uint8Array, nLeadingSpaces: number) {
    this.#bytesOf = bytesOf;
    this.#nLeadingSpaces = nLeadingSpaces;
  }

  /** The text that this token completes: whole characters, often none. */
  push(id: number): string {
    return this.#decoder.decode(this.#withoutLeadingSpaces(this.#bytesOf(id)), { stream: true });
  }

  /** What is left when no token follows: U+FFFD for a character that was never completed. */
  end(): string {
    return this.#decoder.decode();
  }

  #withoutLeadingSpaces(bytes: Uint8Array): Uint8Array {
    const n = countLeadingSpaces(bytes, this.#nLeadingSpaces);
    this.#nLeadingSpaces = n === bytes.length ? this.#nLeadingSpaces - n : 0;
    return bytes.subarray(n);
  }
}
