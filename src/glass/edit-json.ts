import { Scanner } from "../points/scanner.ts";
import { checkEdit } from "./edit-check.ts";
import type { EditObject } from "./edit-spec.ts";

/** Lists and objects in one another: { at, add: { file, tensor } } has 2. */
const MAX_DEPTH = 4;

/** The edit that JSON spells. */
export function parseEditJson(text: string): EditObject {
  const scanner = new Scanner(text, "point.edit");
  const places = new Map<string, number>();
  scanner.skipSpace();
  const value = readValue(scanner, 1, places);
  scanner.skipSpace();
  if (!scanner.isAtEnd)
    throw scanner.fail({ expected: "the JSON must end", remedy: "Write one object; edits form a list." });
  return checkEdit(value, (key, { expected, got, remedy }) =>
    scanner.fail({ at: places.get(key) ?? text.indexOf("{"), expected, got, remedy }),
  );
}

/** A value of JSON; no key of an object may come twice. `places` receives where each key of the outermost object is. */
function readValue(scanner: Scanner, depth: number, places: Map<string, number>): unknown {
  const at = scanner.at;
  if (depth > MAX_DEPTH)
    throw scanner.fail({ expected: "an edit is not nested so deep", remedy: "Give numbers in one list." });
  if (scanner.take("{")) return readObject(scanner, depth, depth === 1 ? places : new Map());
  if (scanner.take("[")) {
    const items: unknown[] = [];
    readList(scanner, "]", () => items.push(readValue(scanner, depth + 1, places)));
    return items;
  }
  const token = scanner.match(/"(?:[^"\\]|\\.)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y);
  try {
    return JSON.parse(token);
  } catch {
    const remedy = 'Write a number, "text", [list] or {object}; keys and texts stand in double quotes.';
    throw scanner.fail({ at, expected: "a value of JSON must stand", remedy });
  }
}

function readObject(scanner: Scanner, depth: number, places: Map<string, number>): object {
  const entries: [string, unknown][] = [];
  readList(scanner, "}", () => {
    const at = scanner.at;
    const key = scanner.text[at] === '"' ? readValue(scanner, depth + 1, places) : undefined;
    if (typeof key !== "string") {
      throw scanner.fail({
        at,
        expected: "a key must stand",
        remedy: 'Write keys in double quotes, as {"at": "L5", "set": 0}.',
      });
    }
    if (places.has(key))
      throw scanner.fail({ at, expected: "each key must stand once", remedy: `Leave one ${key} out.` });
    places.set(key, at);
    scanner.skipSpace();
    if (!scanner.take(":"))
      throw scanner.fail({ expected: "a colon must follow the key", remedy: 'Write {"at": "L5"}.' });
    scanner.skipSpace();
    entries.push([key, readValue(scanner, depth + 1, places)]);
  });
  return Object.fromEntries(entries);
}

/** Reads items between commas, and `close`. */
function readList(scanner: Scanner, close: string, readItem: () => void): void {
  scanner.skipSpace();
  if (scanner.take(close)) return;
  for (;;) {
    readItem();
    scanner.skipSpace();
    if (scanner.take(close)) return;
    if (!scanner.take(","))
      throw scanner.fail({ expected: `a comma or ${close} must stand`, remedy: `Close it with ${close}.` });
    scanner.skipSpace();
  }
}
