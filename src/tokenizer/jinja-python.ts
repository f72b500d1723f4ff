/** What Python says of a template's values, where the library says what JavaScript does. */
import { toValue, type Value } from "./jinja-library.ts";

/** Most items of what a template counts out: a range, the characters of a text. */
export const MAX_ITEMS = 2 ** 16;

export function isString(value: Value): value is Value & { value: string } {
  return value.type === "StringValue";
}

export function isList(value: Value): value is Value & { value: Value[] } {
  return value.type === "ArrayValue";
}

export function isMapping(value: Value): value is Value & { value: Map<string, Value> } {
  return value.value instanceof Map;
}

/** None and what is not defined. */
export function isNothing(value: Value): boolean {
  return value.type === "NullValue" || value.type === "UndefinedValue";
}

/** Python's `str(value)`; but a list of content parts, which Python would print in its own notation, is refused. */
export function str(value: Value): string {
  if (isString(value)) return value.value;
  if (isList(value) && value.value.some(isTextPart)) throw new Error("it takes contents as strings, not as parts");
  return value.type === "UndefinedValue" ? "" : repr(value);
}

function isTextPart(value: Value): boolean {
  return isMapping(value) && value.value.get("type")?.value === "text" && value.value.has("text");
}

/** Python's `repr(value)`. */
function repr(value: Value): string {
  if (isString(value)) return quoted(value.value);
  if (isList(value)) return `[${value.value.map(repr).join(", ")}]`;
  if (isMapping(value)) {
    return `{${Array.from(value.value, ([key, item]) => `${quoted(key)}: ${repr(item)}`).join(", ")}}`;
  }
  if (value.type === "NullValue") return "None";
  if (value.type === "BooleanValue") return value.value ? "True" : "False";
  if (value.type === "FunctionValue") throw new Error("a function is not a text");
  return `${value}`;
}

const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll(/[\\\n\r\t]|[^\P{Cc}]/gu, (c) => ESCAPES[c] ?? `\\x${hex(c)}`);
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

function hex(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(2, "0");
}

/** Python's `a == b`. */
export function areEqual(a: Value, b: Value): boolean {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return x === y;
  if (isList(a) && isList(b)) {
    const other = b.value;
    return a.value.length === other.length && a.value.every((item, i) => areEqual(item, other[i] as Value));
  }
  if (isMapping(a) && isMapping(b)) {
    const other = b.value;
    return (
      a.value.size === other.size &&
      Array.from(a.value).every(([key, item]) => other.has(key) && areEqual(item, other.get(key) as Value))
    );
  }
  return a.type === b.type && a.value === b.value;
}

function numberOf(value: Value): number | undefined {
  return ["IntegerValue", "FloatValue", "BooleanValue"].includes(value.type) ? Number(value.value) : undefined;
}

/** Whether Python can go over it. */
export function isIterable(value: Value): boolean {
  return isString(value) || isList(value) || isMapping(value) || value.type === "UndefinedValue";
}

/** What a loop, or the filter `list`, goes over; undefined for what Python cannot iterate. */
export function items(value: Value): Value[] | undefined {
  if (isList(value)) return value.value;
  if (isString(value)) {
    if (value.value.length > MAX_ITEMS) throw new Error(`a text of more than ${MAX_ITEMS} characters as a list`);
    return Array.from(value.value, toValue);
  }
  if (isMapping(value)) return Array.from(value.value.keys(), toValue);
  return value.type === "UndefinedValue" ? [] : undefined;
}

/** What Python takes for white space, as a class of a regular expression. */
const WHITE_SPACE = "\\p{White_Space}\\x1c-\\x1f";

/** Python's `strip`, `lstrip` and `rstrip`: white space, or any of `characters`. */
export function strip(text: string, sides: "both" | "left" | "right", characters?: string): string {
  const set = characters?.replaceAll(/[\\\]^-]/g, "\\$&") ?? WHITE_SPACE;
  if (set === "") return text;
  const left = sides === "right" ? 0 : (new RegExp(`^[${set}]+`, "u").exec(text)?.[0].length ?? 0);
  if (sides === "left") return text.slice(left);
  let right = text.length;
  const isStripped = new RegExp(`[${set}]`, "u");
  while (right > left) {
    const last = lastCharacter(text, right);
    if (!isStripped.test(last)) break;
    right -= last.length;
  }
  return text.slice(left, right);
}

function lastCharacter(text: string, end: number): string {
  const code = text.codePointAt(end - 2) ?? 0;
  return text.slice(code > 0xffff ? end - 2 : end - 1, end);
}

/** Methods of strings that the library lacks, or that take no arguments there. */
export const STRING_METHODS: ReadonlyMap<string, (text: string, args: readonly Value[]) => string> = new Map([
  ["strip", stripping("both")],
  ["lstrip", stripping("left")],
  ["rstrip", stripping("right")],
  ["join", join],
  ["format", format],
]);

function stripping(sides: "both" | "left" | "right"): (text: string, args: readonly Value[]) => string {
  return (text, [characters]) => {
    const isGiven = characters !== undefined && !isNothing(characters);
    return strip(text, sides, isGiven ? str(characters) : undefined);
  };
}

function join(text: string, [list]: readonly Value[]): string {
  const joined = list === undefined ? undefined : items(list);
  if (joined === undefined) throw new Error("join() takes what can be iterated");
  return joined.map(str).join(text);
}

/** `str.format` with fields by position, `{}` and `{0}`. */
function format(text: string, args: readonly Value[]): string {
  let next = 0;
  return text.replaceAll(/\{\{|\}\}|\{(\d*)\}/g, (match, index) => {
    if (match === "{{" || match === "}}") return match.slice(1);
    const value = args[index === "" ? next++ : Number(index)];
    if (value === undefined) throw new Error("a replacement index is out of range for format()");
    return str(value);
  });
}
