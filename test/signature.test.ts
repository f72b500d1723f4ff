import { describe, expect, it } from "vitest";
import { TapeError } from "../src/errors.ts";
import { defineOp } from "../src/ops/define-op.ts";
import { buildTape, cacheLeaf, input } from "../src/tape/builder.ts";
import { parseSignature } from "../src/tape/signature.ts";
import type { Attrs, Shape, Value, ValueType } from "../src/tape/value.ts";

const rows = input("rows", "rows");

/** A value of any type and shape, symbolic sizes included. */
function value(shape: Shape, type: ValueType = "float"): Value {
  return { type, shape, from: { kind: "input", name: "given" } };
}

/** An op of that signature, for what the signature alone decides. */
function probe(signature: string, attrs: Readonly<Record<string, "size" | "size?">> = {}) {
  return defineOp<(...args: (Value | Attrs | undefined)[]) => Value | readonly Value[]>({
    name: "probe",
    doc: "A signature.",
    signature,
    attrs: attrs as Record<never, never>,
    reference: () => {},
    flops: () => 0,
    samples: [],
  });
}

/** Shapes of the results of one op on given inputs. */
function resultShapes(signature: string, inputs: readonly (Value | undefined)[], attrs?: Attrs): Shape[] {
  const kinds = Object.fromEntries(Object.keys(attrs ?? {}).map((name) => [name, "size" as const]));
  const outputs: Value[] = [];
  buildTape("probe", () => {
    outputs.push(...[probe(signature, kinds)(...inputs, attrs)].flat());
    return {};
  });
  return outputs.map(({ shape }) => shape);
}

describe("a signature", () => {
  it("lists inputs and outputs with their types, sizes and options", () => {
    const { inputs, outputs } = parseSignature("x[..., k], w[n,k], bias?[n], cache:cache[K, D], rows:rows -> [..., n]");
    expect(inputs).toEqual([
      { name: "x", type: "float", optional: false, dims: ["...", "k"] },
      { name: "w", type: "float", optional: false, dims: ["n", "k"] },
      { name: "bias", type: "float", optional: true, dims: ["n"] },
      { name: "cache", type: "cache", optional: false, dims: ["K", "D"] },
      { name: "rows", type: "rows", optional: false, dims: undefined },
    ]);
    expect(outputs).toEqual([{ name: "out", type: "float", optional: false, dims: ["...", "n"] }]);
  });

  it("names several outputs", () => {
    const { outputs } = parseSignature("x[n] -> values[k], indices:int[k]");
    expect(outputs.map(({ name, type }) => [name, type])).toEqual([
      ["values", "float"],
      ["indices", "int"],
    ]);
  });

  it.each(["x[n]", "x[n] -> [n] -> [n]", "x[n -> [n]", "x:number[n] -> [n]"])("does not parse as %s", (text) => {
    expect(() => parseSignature(text)).toThrow();
  });

  it.each<[string, string, Shape[], Shape[], Attrs?]>([
    ["a list stands for any number of sizes", "x[..., k] -> [..., 1]", [["T", 3, 5]], [["T", 3, 1]]],
    ["a list may be empty", "x[..., k] -> [...]", [[5]], [[]]],
    ["a list in the middle", "x[a, ..., b] -> [b, ..., a]", [[1, 2, 3, 4]], [[4, 2, 3, 1]]],
    [
      "equal names are equal sizes",
      "x[..., k], w[n, k] -> [..., n]",
      [
        ["T", 5],
        [7, 5],
      ],
      [["T", 7]],
    ],
    [
      "b is repeated over what a has before it",
      "a[*, ...], b[...] -> [*, ...]",
      [
        ["T", 2, 3],
        [2, 3],
      ],
      [["T", 2, 3]],
    ],
    [
      "b may have the shape of a",
      "a[*, ...], b[...] -> [*, ...]",
      [
        ["T", 3],
        ["T", 3],
      ],
      [["T", 3]],
    ],
    ["b may be a single number", "a[*, ...], b[...] -> [*, ...]", [["T", 3], []], [["T", 3]]],
    ["a product on the right", "x[T, H, D] -> [T, H*D]", [["T", 3, 4]], [["T", 12]]],
    [
      "a product on the left",
      "z[T, H, D], w[n, H*D] -> [T, H, n]",
      [
        ["T", 3, 4],
        [9, 12],
      ],
      [["T", 3, 9]],
    ],
    ["an attribute as a size", "x[..., n] -> [..., k]", [["T", 9]], [["T", 2]], { k: 2 }],
    ["attributes as factors", "x[T, h*d] -> [T, h, d]", [["T", 12]], [["T", 3, 4]], { h: 3, d: 4 }],
    [
      "a number as a size",
      "x[..., d], s[..., 1] -> [..., d]",
      [
        ["T", 2, 4],
        ["T", 2, 1],
      ],
      [["T", 2, 4]],
    ],
  ])("%s: %s", (_, signature, inputs, expected, attrs) => {
    const values = inputs.map((shape) => value(shape));
    expect(resultShapes(signature, values, attrs)).toEqual(expected);
  });

  it.each<[string, string, Shape[], Attrs?]>([
    [
      "another inner size",
      "x[..., k], w[n, k] -> [..., n]",
      [
        ["T", 5],
        [7, 6],
      ],
    ],
    ["too few sizes", "x[a, ..., b] -> [a]", [[3]]],
    ["too many sizes", "x[a, b] -> [a]", [[3, 4, 5]]],
    ["a suffix that does not fit", "a[*, ...], b[...] -> [*, ...]", [["T", 2, 3], [2]]],
    ["a suffix longer than the whole", "a[*, ...], b[...] -> [*, ...]", [[3], [2, 3]]],
    [
      "two lists that differ",
      "a[...], b[...] -> [...]",
      [
        ["T", 3],
        ["R1", 3],
      ],
    ],
    [
      "another product",
      "z[T, H, D], w[n, H*D] -> [T, H, n]",
      [
        ["T", 3, 4],
        [9, 13],
      ],
    ],
    ["a product with an unknown factor", "w[n, H*D] -> [n]", [[9, 12]]],
    ["another number than the written one", "s[..., 1] -> [...]", [["T", 2]]],
    ["a symbol where an attribute says a number", "x[T, h*d] -> [T, h, d]", [["T", "T"]], { h: 3, d: 4 }],
  ])("refuses %s", (_, signature, shapes, attrs) => {
    const values = shapes.map((shape) => value(shape));
    expect(() => resultShapes(signature, values, attrs)).toThrow(TapeError);
    expect(() => resultShapes(signature, values, attrs)).toThrow(/probe: the shapes must fit /);
  });

  it("leaves out optional inputs alone", () => {
    const signature = "x[..., k], bias?[k], w[n, k] -> [..., n]";
    expect(resultShapes(signature, [value(["T", 5]), undefined, value([7, 5])])).toEqual([["T", 7]]);
    const message = "probe: needs w (x[..., k], bias?[k], w[n, k] -> [..., n]); got x [T, 5].";
    expect(() => resultShapes(signature, [value(["T", 5])])).toThrow(message);
  });

  it("takes the sizes of rows and of visible pairs from the step, under the op's window", () => {
    const signature = "x[T, H], rows:rows -> [H, P]";
    expect(resultShapes(signature, [value(["T", 2]), rows])).toEqual([[2, "P"]]);
    expect(resultShapes(signature, [value(["T", 2]), rows], { window: 16 })).toEqual([[2, "P16"]]);
    expect(() => resultShapes(signature, [value(["R1", 2]), rows])).toThrow(TapeError);
    const pairs = "x[H, P], rows:rows, i:int[R] -> [H, Q]";
    expect(resultShapes(pairs, [value([2, "P"]), rows, value(["R3"], "int")])).toEqual([[2, "P/R3"]]);
    expect(() => resultShapes(pairs, [value([2, "P16"]), rows, value(["R3"], "int")])).toThrow(TapeError);
    expect(() => resultShapes(pairs, [value([2, "P"]), rows, value(["T"], "int")])).toThrow(/rows of a selection/);
  });

  it("refuses a value of another type", () => {
    const message = "probe: rows must be of type rows, not float; got x [2], rows [2].";
    expect(() => resultShapes("x[n], rows:rows -> [n]", [value([2]), value([2])])).toThrow(message);
  });

  it("gives a cache the shape of the cache that it came from", () => {
    const cache = cacheLeaf("cache", [2, 3, 4]);
    const signature = "cache:cache[K, D, E], k[T, K, D], rows:rows -> out:cache";
    expect(resultShapes(signature, [cache, value(["T", 2, 3]), rows])).toEqual([[2, 3, 4]]);
  });
});
