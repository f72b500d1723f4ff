import { RequestError } from "../errors.ts";
import { wrap } from "./text/width.ts";

/** What prints itself as text; neither property is enumerable, so that the data beside them stays plain. */
export interface Printable {
  /** Text without colour in lines of at most `width` columns; 80 where undefined. */
  toString(options?: { readonly width?: number }): string;
}

/** A view's result: plain data that JSON takes, and that prints as text. */
export type Report<Data extends object> = Data & Printable;

const DEFAULT_WIDTH = 80;
/** Narrower, no table has room for its columns. */
const MIN_WIDTH = 40;

/** What Node's console calls where it shows an object; other platforms ignore it. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** Makes data print itself: as a string, and in Node's console. Lines that are too long for the width are wrapped. */
export function report<Data extends object>(data: Data, print: (width: number) => string): Report<Data> {
  const text = ({ width = DEFAULT_WIDTH }: { readonly width?: number } = {}): string => {
    if (Number.isInteger(width) && width >= MIN_WIDTH) return wrap(print(width), width);
    throw new RequestError("request.option", {
      path: "toString: width",
      expected: `must be an integer of at least ${MIN_WIDTH}`,
      got: `${width}`,
    });
  };
  Object.defineProperty(data, "toString", { value: text });
  Object.defineProperty(data, INSPECT, { value: () => text() });
  return data as Report<Data>;
}
