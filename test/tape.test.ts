import { describe, expect, it } from "vitest";
import { TapeError } from "../src/errors.ts";
import { OPS } from "../src/ops/all.ts";
import * as ops from "../src/ops/index.ts";
import {
  atScope,
  buildTape,
  cacheLeaf,
  constant,
  emit,
  extendTape,
  input,
  keepState,
  pathOf,
  point,
  scope,
  weight,
} from "../src/tape/builder.ts";
import { Rows } from "../src/tape/rows.ts";
import { concreteShape } from "../src/tape/sizes.ts";
import type { Tape } from "../src/tape/tape.ts";
import { type Attrs, parseSymbol, type Shape, type Value } from "../src/tape/value.ts";

const rows = input("rows", "rows");

/** A value of any shape, symbolic sizes included. */
function value(shape: Shape): Value {
  return { type: "float", shape, from: { kind: "input", name: "given" } };
}

describe("building a tape", () => {
  const x = constant("x", Float64Array.of(1, 2), [1, 2]);

  it("is possible only inside buildTape", () => {
    for (const act of [() => ops.norm(x), () => scope("a", () => 1), () => point("a", x), () => keepState("c", x)]) {
      expect(act).toThrow(
        "tape: ops, scopes and points exist only while a tape is built. Call them inside buildTape(...).",
      );
    }
    expect(() =>
      buildTape("broken", () => {
        throw new Error("stop");
      }),
    ).toThrow("stop");
    expect(() => ops.norm(x)).toThrow(TapeError);
  });

  it("may happen while another tape is built, which it leaves alone", () => {
    let inner: Tape | undefined;
    const outer = buildTape("outer", () => {
      scope("a", () => {
        inner = buildTape("inner", () => ({ y: point("p", ops.norm(x)) }));
        point("q", ops.center(x));
      });
      return {};
    });
    expect([...(inner?.points.keys() ?? [])]).toEqual(["p"]);
    expect([...outer.points.keys()]).toEqual(["a.q"]);
    expect(outer.nodes.map(({ op }) => op.name)).toEqual(["center"]);
  });

  it("gives nodes and points the path of the scopes around them", () => {
    const tape = buildTape("scopes", () => {
      const y = scope("blocks.0", () => scope("attn", () => point("q", ops.center(x))));
      atScope("elsewhere.attn", () => ops.norm(y));
      return { path: scope("a", () => point(pathOf("b"), y)) };
    });
    expect(tape.nodes.map((node) => node.scope)).toEqual(["blocks.0.attn", "elsewhere.attn"]);
    expect([...tape.points.keys()]).toEqual(["blocks.0.attn.q", "a.a.b"]);
  });

  it("leaves a scope behind also when building in it fails", () => {
    const tape = buildTape("scopes", () => {
      expect(() =>
        scope("a", () => {
          throw new Error("stop");
        }),
      ).toThrow("stop");
      return { y: point("b", ops.norm(x)) };
    });
    expect([...tape.points.keys()]).toEqual(["b"]);
  });

  it("refuses to name two values alike, and lets a value have two names", () => {
    buildTape("points", () => {
      scope("a", () => point("p", x));
      point("p", x);
      expect(() => scope("a", () => point("p", x))).toThrow("a.p: a point is named once in a tape.");
      return {};
    });
  });

  it("adds no node for a point", () => {
    const build = (name: <V extends Value>(n: string, v: V) => Value): Tape =>
      buildTape("points", () => ({ y: name("b", ops.norm(name("a", ops.center(x)))) }));
    const [named, unnamed] = [build(point), build((_, v) => v)];
    expect(named.nodes.map(({ op }) => op.name)).toEqual(unnamed.nodes.map(({ op }) => op.name));
  });

  it("extends a tape without changing it", () => {
    const tape = buildTape("start", () => ({ y: point("p", ops.center(x)) }));
    const y = tape.outputs.get("y") as Value;
    const longer = extendTape(tape, () => ({ z: point("q", ops.norm(y)) }));
    expect([tape.nodes.length, tape.points.size, tape.outputs.size]).toEqual([1, 1, 1]);
    expect([...longer.outputs.keys()]).toEqual(["y", "z"]);
    expect(longer.nodes[0]).toBe(tape.nodes[0]);
    expect(() => extendTape(tape, () => ({ y: point("p", y) }))).toThrow(TapeError);
  });

  it("names the component and the shapes in errors", () => {
    const build = () =>
      buildTape("error", () => ({
        y: scope("blocks.3.mlp", () => ops.matmul(weight("x", [1, 768]), weight("w", [3072, 1024]))),
      }));
    expect(build).toThrow(
      "blocks.3.mlp (matmul): the shapes must fit x[..., k], w[n, k], bias?[n] -> [..., n]; " +
        "got x [1, 768], w [3072, 1024]. Weights are stored [out, in].",
    );
  });

  it.each<[string, string, Attrs, string]>([
    ["a missing attribute", "rms", {}, "attribute eps must be positive; got undefined"],
    ["zero for a positive number", "rms", { eps: 0 }, "attribute eps must be positive; got 0"],
    ["a text for a number", "rms", { eps: "1" }, "attribute eps must be positive; got 1"],
    ["NaN", "rms", { eps: Number.NaN }, "attribute eps must be positive; got NaN"],
    ["a fraction for a size", "topK", { k: 1.5 }, "attribute k must be size; got 1.5"],
    ["a negative size", "topK", { k: -1 }, "attribute k must be size; got -1"],
    [
      "an unknown choice",
      "activate",
      { fn: "tanh" },
      "attribute fn must be one of silu, gelu, geluTanh, relu, sigmoid; got tanh",
    ],
    [
      "a number for a choice",
      "activate",
      { fn: 1 },
      "attribute fn must be one of silu, gelu, geluTanh, relu, sigmoid; got 1",
    ],
    ["an unknown attribute", "norm", { eps: 1 }, "norm has no attribute eps"],
    ["a name that objects inherit", "norm", { toString: 1 } as unknown as Attrs, "norm has no attribute toString"],
    ["an unknown attribute left open", "norm", { eps: undefined }, "norm has no attribute eps"],
  ])("refuses %s", (_, name, attrs, message) => {
    const op = OPS.find((candidate) => candidate.name === name)!;
    expect(() => buildTape("attributes", () => ({ y: emit(op, [x], attrs)[0]! }))).toThrow(`${name}: ${message}`);
  });

  it.each<[string, () => Value | readonly Value[], string]>([
    [
      "rows that are as long as a step makes them",
      () => ops.selectRows(value([2, "P"]), input("indices", "int", [1])),
      "a row of x must have a length that is known before a step; got x [2, P], indices [1].",
    ],
    [
      "more entries than there are",
      () => ops.topK(x, { k: 3 }),
      "topK: k = 3 must not exceed the last axis; got x [1, 2]",
    ],
    [
      "query heads that do not share key heads evenly",
      () => ops.attention(value(["T", 3, 2]), cacheAfter(), rows, undefined, { scale: 1 }),
      "attention: the query heads must be a multiple of the key-value heads; got q [T, 3, 2], cache [2, 2, 2], rows []",
    ],
    [
      "scores of such heads",
      () => ops.attentionScores(value(["T", 3, 2]), cacheAfter(), rows, { scale: 1 }),
      "attentionScores: the query heads must be a multiple of the key-value heads",
    ],
    [
      "a mix of such heads",
      () => ops.attentionMix(value([1, "P"]), cacheAfter(), rows, {}),
      "attentionMix: the query heads must be a multiple of the key-value heads",
    ],
    [
      "a rotation of more pairs than a head has",
      () => ops.rotate(value(["T", 1, 3]), value(["T", 2]), { pairing: "half", magnitude: 1 }),
      "rotate: 2 pairs must fit into the dimensions of a head",
    ],
    [
      "a position embedding of more pairs than a head has",
      () => ops.rope(value(["T", 1, 3]), value([1, 2]), rows, { pairing: "half", magnitude: 1 }),
      "rope: 2 pairs must fit into the dimensions of a head",
    ],
  ])("refuses %s", (_, build, message) => {
    const run = () => buildTape("sizes", () => Object.fromEntries([build()].flat().map((v, i) => [`${i}`, v])));
    expect(run).toThrow(TapeError);
    expect(run).toThrow(message);
  });

  function cacheAfter(): Value {
    return ops.kvAppend(cacheLeaf("cache", [2, 2, 2]), value(["T", 2, 2]), value(["T", 2, 2]), rows);
  }
});

describe("symbolic sizes", () => {
  const step = {
    rows: new Rows([
      { pages: [0], start: 3, nRows: 2, ropeVariant: 0 },
      { pages: [1], start: 0, nRows: 3, ropeVariant: 1 },
    ]),
    ints: new Map([["R1", Int32Array.of(4, 0, 4)]]),
  };

  it("are the step's rows, a selection's rows, and the keys that rows see", () => {
    // Rows at positions 3 and 4, then 0, 1 and 2.
    expect(concreteShape(["T", 7, "R1"], step)).toEqual([5, 7, 3]);
    expect(concreteShape(["P", "P2", "P99"], step)).toEqual([4 + 5 + 1 + 2 + 3, 2 + 2 + 1 + 2 + 2, 15]);
    expect(concreteShape(["P/R1", "P2/R1"], step)).toEqual([3 + 4 + 3, 2 + 2 + 2]);
  });

  it("need the selection that they count", () => {
    expect(() => concreteShape(["R2"], step)).toThrow("the step has no selection R2");
  });

  it.each(["", "t", "R", "Rx", "P/T", "P-1", "P/R1/R2"])("are not written as %j", (symbol) => {
    expect(() => parseSymbol(symbol)).toThrow(/is not a symbolic size/);
  });

  it("follow from rows that know their sequence, position, slot and variant", () => {
    const { rows } = step;
    expect([...rows.sequence]).toEqual([0, 0, 1, 1, 1]);
    expect([...rows.position]).toEqual([3, 4, 0, 1, 2]);
    expect(rows.firstRows).toEqual([0, 2, 5]);
    expect([0, 2].map((row) => rows.ropeVariant(row))).toEqual([0, 1]);
    expect([rows.slot(0, 4), rows.slot(1, 2)]).toEqual([4, 18]);
  });

  it("find a position's slot in its page", () => {
    const rows = new Rows([{ pages: [7, 2], start: 30, nRows: 2, ropeVariant: 0 }]);
    expect([0, 15, 16, 31].map((position) => rows.slot(0, position))).toEqual([112, 127, 32, 47]);
  });
});
