/**
 * JSON of files that nobody vouches for, read more strictly than `JSON.parse` does: bounded in size, depth and number of
 * values (a Map takes a hundred times the bytes of `{}`, so that a bound of the size alone would be none), valid UTF-8 and
 * Unicode, and no key twice (of two equal keys `JSON.parse` keeps the last in silence, so that two programs could see two
 * different files). Objects become Maps: no key is special, and V8's cache of keys, which misreads
 * escaped ones (nodejs/node#63785), is not involved.
 */
import { CheckpointError } from "../errors.ts";
import { quote } from "./checkpoint.ts";

type JsonObject = ReadonlyMap<string, unknown>;

/** The most JSON that is read into memory: the limit of the official safetensors reader. */
export const MAX_JSON_BYTES = 100_000_000;

export const DAMAGED = "The file is damaged or was not downloaded to its end: download it again.";

/** Eight for each of 260 000 tensors; an index needs one each. With objects alone, 400 MB. */
const MAX_VALUES = 2 ** 21;
const MAX_DEPTH = 64;
const WHITESPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const LITERALS: readonly [string, unknown][] = [
  ["true", true],
  ["false", false],
  ["null", null],
];

/**
 * The object that `bytes` spell; its values are strings, numbers, booleans, null, arrays and such objects. The text
 * must begin with `{`, as the safetensors format demands; whitespace may follow it. `path` names the file in errors.
 */
export function parseJsonObject(path: string, bytes: Uint8Array): JsonObject {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const expected = "the JSON must be UTF-8";
    throw new CheckpointError("checkpoint.header", { path, expected, got: "other bytes", remedy: DAMAGED, cause });
  }
  return new JsonText(path, text).whole();
}

/** Whether a value of parsed JSON is an object. */
export function isObject(value: unknown): value is JsonObject {
  return value instanceof Map;
}

class JsonText {
  readonly #path: string;
  readonly #text: string;
  #at = 0;
  #nValues = 0;

  constructor(path: string, text: string) {
    this.#path = path;
    this.#text = text;
  }

  whole(): JsonObject {
    if (!this.#text.startsWith("{")) throw this.#refuse("the JSON must be an object and begin with {");
    const object = this.#object(1);
    this.#match(WHITESPACE);
    if (this.#at < this.#text.length) throw this.#refuse("only whitespace may follow the JSON");
    return object;
  }

  #value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw this.#refuse(`the JSON must be nested at most ${MAX_DEPTH} deep`);
    if (++this.#nValues > MAX_VALUES) throw this.#refuse(`the JSON must hold at most ${MAX_VALUES} values`);
    const first = this.#text[this.#at];
    if (first === "{") return this.#object(depth);
    if (first === "[") return this.#array(depth);
    if (first === '"') return this.#string();
    for (const [word, value] of LITERALS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    const digits = this.#match(NUMBER);
    if (digits === "") throw this.#refuse("the JSON must be valid, with a value here");
    return Number(digits);
  }

  #object(depth: number): JsonObject {
    const object = new Map<string, unknown>();
    this.#list("}", () => {
      if (this.#text[this.#at] !== '"') throw this.#refuse('the JSON must be valid, with a "key" here');
      const key = this.#string();
      if (object.has(key)) throw this.#refuse("every key of an object must be there once", `${quote(key)} twice`);
      if (!this.#take(":")) throw this.#refuse("the JSON must be valid, with a : here");
      object.set(key, this.#value(depth + 1));
    });
    return object;
  }

  #array(depth: number): unknown[] {
    const items: unknown[] = [];
    this.#list("]", () => items.push(this.#value(depth + 1)));
    return items;
  }

  /** Reads an opening bracket, items between commas, and `close`. */
  #list(close: string, readItem: () => void): void {
    this.#at++;
    if (this.#take(close)) return;
    do readItem();
    while (this.#take(","));
    if (!this.#take(close)) throw this.#refuse(`the JSON must be valid, with a , or ${close} here`);
  }

  #string(): string {
    const start = this.#at;
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === "\\" ? 2 : 1;
    let string: string;
    try {
      string = JSON.parse(this.#text.slice(start, end + 1));
    } catch {
      throw this.#refuse("the JSON must be valid, with a string here");
    }
    if (!string.isWellFormed()) throw this.#refuse("a string must be valid Unicode");
    this.#at = end + 1;
    return string;
  }

  /** Whether `mark` comes next, after whitespace; if so, passes it and the whitespace behind it. */
  #take(mark: string): boolean {
    this.#match(WHITESPACE);
    if (this.#text[this.#at] !== mark) return false;
    this.#at++;
    this.#match(WHITESPACE);
    return true;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [matched] = pattern.exec(this.#text) ?? [""];
    this.#at += matched.length;
    return matched;
  }

  #refuse(expected: string, got = this.#here()): CheckpointError {
    return new CheckpointError("checkpoint.header", { path: this.#path, expected, got, remedy: DAMAGED });
  }

  #here(): string {
    if (this.#at >= this.#text.length) return `the end of its ${this.#text.length} characters`;
    return `${quote(this.#text.slice(this.#at, this.#at + 40))} at character ${this.#at}`;
  }
}
