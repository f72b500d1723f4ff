import { Scanner } from "../points/scanner.ts";
import { checkEdit } from "./edit-check.ts";
import type { EditObject } from "./edit-spec.ts";

/** Lists and objects in one another: `{ at, add: { file, tensor } }` has 2. */
const MAX_DEPTH = 4;

/** The edit that JSON spells. No key of an object may come twice, of which `JSON.parse` would keep the last in silence. */
export function parseEditJson(text: string): EditObject {
  const json = new EditJson(text);
  const value = json.whole();
  return checkEdit(value, (key, mistake) => json.scanner.fail({ ...mistake, at: json.placeOf(key) }));
}

class EditJson {
  readonly scanner: Scanner;
  /** Where the keys of the outermost object are. */
  readonly #places = new Map<string, number>();

  constructor(text: string) {
    this.scanner = new Scanner(text, "point.edit");
  }

  placeOf(key: string): number {
    return this.#places.get(key) ?? this.scanner.text.indexOf("{");
  }

  whole(): unknown {
    this.scanner.skipSpace();
    const value = this.#value(1);
    this.scanner.skipSpace();
    if (this.scanner.isAtEnd) return value;
    throw this.scanner.fail({ expected: "the JSON must end", remedy: "Write one object; edits form a list." });
  }

  #value(depth: number): unknown {
    if (depth > MAX_DEPTH) {
      throw this.scanner.fail({ expected: "an edit is not nested so deep", remedy: "Give numbers in one list." });
    }
    if (this.scanner.take("{")) return this.#object(depth, depth === 1 ? this.#places : new Map());
    if (!this.scanner.take("[")) return this.#plain();
    const items: unknown[] = [];
    this.#list("]", () => items.push(this.#value(depth + 1)));
    return items;
  }

  #object(depth: number, places: Map<string, number>): object {
    const entries: [string, unknown][] = [];
    this.#list("}", () => {
      const at = this.scanner.at;
      const key = this.scanner.text[at] === '"' ? `${this.#plain()}` : undefined;
      if (key === undefined) {
        const remedy = 'Write keys in double quotes, as {"at": "L5", "set": 0}.';
        throw this.scanner.fail({ expected: "a key must stand", remedy });
      }
      if (places.has(key)) {
        throw this.scanner.fail({ at, expected: "each key must stand once", remedy: `Leave one ${key} out.` });
      }
      places.set(key, at);
      this.scanner.skipSpace();
      if (!this.scanner.take(":")) {
        throw this.scanner.fail({ expected: "a colon must follow the key", remedy: 'Write {"at": "L5"}.' });
      }
      this.scanner.skipSpace();
      entries.push([key, this.#value(depth + 1)]);
    });
    return Object.fromEntries(entries);
  }

  /** Reads items between commas, and `close`. */
  #list(close: string, readItem: () => void): void {
    const { scanner } = this;
    scanner.skipSpace();
    if (scanner.take(close)) return;
    do {
      scanner.skipSpace();
      readItem();
      scanner.skipSpace();
    } while (scanner.take(","));
    if (scanner.take(close)) return;
    throw scanner.fail({ expected: `a comma or ${close} must stand`, remedy: `Close it with ${close}.` });
  }

  /** A text, a number or a word. */
  #plain(): unknown {
    const at = this.scanner.at;
    const token = this.scanner.match(/"(?:[^"\\]|\\.)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y);
    try {
      return JSON.parse(token);
    } catch {
      const remedy = 'Write a number, "text", [list] or {object}; keys and texts stand in double quotes.';
      throw this.scanner.fail({ at, expected: "a value of JSON must stand", remedy });
    }
  }
}
