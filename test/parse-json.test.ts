import { expect, it } from "vitest";
import { parseJson } from "../src/run/parse-json.ts";

const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

it("JSON may be nested 64 deep, and no deeper", () => {
  expect(() => parseJson(`{"a":${nested(63)},"b":${nested(63)}}`)).not.toThrow();
  expect(() => parseJson(`{"a":${nested(64)}}`)).toThrow(/nested more than 64 deep/);
  expect(() => parseJson("[".repeat(1_000_000))).toThrow(/nested more than 64 deep/);
});

it("JSON may hold four million lists and objects, and no more", () => {
  expect(() => parseJson(`[${"{},".repeat(2 ** 22)}0]`)).toThrow(/more than 4194304 lists and objects/);
});

it("brackets in strings are text, whatever quotes are escaped around them", () => {
  const value = { "[": nested(99), '"[': '\\"[[', "\\": "[" };
  expect(parseJson(JSON.stringify(value))).toEqual(value);
});

it.each(["", '"', '"a\\', "[", "]", "{"])("what is no JSON is refused: %j", (text) => {
  expect(() => parseJson(text)).toThrow(SyntaxError);
});
