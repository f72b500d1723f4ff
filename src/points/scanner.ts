import { type ErrorCode, PointError } from "../errors.ts";

interface Mistake {
  readonly expected: string;
  /** Where it is; where the scanner stands unless stated. */
  readonly at?: number;
  readonly got?: string;
  readonly remedy: string;
}

/** Walks through a short text that a person wrote, and says where in it a mistake is. */
export class Scanner {
  readonly text: string;
  /** The next character. */
  at = 0;
  readonly #code: ErrorCode;

  constructor(text: string, code: ErrorCode) {
    this.text = text;
    this.#code = code;
  }

  get isAtEnd(): boolean {
    return this.at >= this.text.length;
  }

  skipSpace(): void {
    this.match(/\s*/y);
  }

  /** Passes a mark where it comes next, and says whether it did. */
  take(mark: string): boolean {
    if (!this.text.startsWith(mark, this.at)) return false;
    this.at += mark.length;
    return true;
  }

  /** Passes what a sticky pattern matches here, which may be nothing. */
  match(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const [matched] = pattern.exec(this.text) ?? [""];
    this.at += matched.length;
    return matched;
  }

  /** What comes next, for messages. */
  next(at = this.at): string {
    if (at >= this.text.length) return "the end";
    const word = /[^\s,()]+|./suy;
    word.lastIndex = at;
    const [shown] = word.exec(this.text) ?? [""];
    return JSON.stringify(shown.length > 40 ? `${shown.slice(0, 40)}...` : shown);
  }

  fail({ expected, at = this.at, got = this.next(at), remedy }: Mistake): PointError {
    const path = this.text.trim() === "" ? JSON.stringify(this.text) : this.text;
    return new PointError(this.#code, { path, expected: `at character ${at}, ${expected}`, got, remedy, position: at });
  }
}
