import { describe, expect, it } from "vitest";
import { TapeError } from "../src/errors.ts";
import * as ops from "../src/ops/index.ts";
import {
  buildTape,
  cacheLeaf,
  constant,
  emit,
  extendTape,
  input,
  keepState,
  point,
  scope,
  weight,
} from "../src/tape/builder.ts";
import type { Composite } from "../src/tape/op.ts";
import { printTape } from "../src/tape/print.ts";
import { expand, prune, withOutputs } from "../src/tape/rewrite.ts";
import { leavesOf, type Tape } from "../src/tape/tape.ts";
import type { Node, Value } from "../src/tape/value.ts";
import { verify } from "../src/tape/verify.ts";

const rows = input("rows", "rows");

/** Two layers of attention over the same input, with a norm before them and something that nothing needs. */
function twoLayers(): Tape {
  return buildTape("two layers", () => {
    const x = ops.selectRows(weight("x", [9, 2]), input("tokens", "int", ["T"])); // [T, 2]
    const normed = scope("ln1", () => point("out", ops.rmsNorm(x, weight("gain", [2]), { eps: 1e-5 })));
    const z = [0, 1].map((layer) =>
      scope(`blocks.${layer}.attn`, () => {
        const q = point("q", ops.splitHeads(normed, { nHeads: 2, headDim: 1 }));
        const cache = ops.kvAppend(cacheLeaf(`cache.${layer}`, [2, 1, 1]), q, q, rows);
        keepState(`cache.${layer}`, cache);
        return point(
          "z",
          ops.attention(q, cache, rows, undefined, { scale: 0.5, window: layer === 0 ? undefined : 4 }),
        );
      }),
    );
    scope("unused", () => point("norm", ops.norm(x)));
    return { first: ops.mergeHeads(z[0] as Value), second: z[1] as Value };
  });
}

const names = ({ nodes }: Tape): string[] => nodes.map(({ op }) => op.name);

describe("verify", () => {
  it("accepts what the builder made, expanded, pruned or extended", () => {
    const tape = twoLayers();
    for (const good of [tape, expand(tape), prune(tape), prune(tape, { keepsState: false })]) verify(good);
    verify(extendTape(tape, () => ({ more: ops.norm(tape.outputs.get("first") as Value) })));
  });

  const x = constant("x", Float64Array.of(1, 2), [1, 2]);
  const chain = buildTape("chain", () => {
    const y = scope("a", () => point("centered", ops.center(x)));
    return { z: scope("b", () => ops.norm(y)) };
  });
  const [first, second] = chain.nodes as [Node, Node];

  /** The chain with its second node replaced, whose result the outputs then name. */
  function withSecond(change: Partial<Node>, result: Partial<Value> = {}): Tape {
    const outputs: Value[] = [];
    const node = { ...second, outputs, ...change };
    outputs.push({ ...(second.outputs[0] as Value), from: node, ...result });
    return { ...chain, nodes: [first, node], outputs: new Map([["z", outputs[0] as Value]]) };
  }

  it.each<[string, Tape, string]>([
    [
      "a node before that of its input",
      { ...chain, nodes: [second, first] },
      "b (norm): a value is made before it is used",
    ],
    ["a node without that of its input", { ...chain, nodes: [second] }, "b (norm): a value is made before it is used"],
    ["an output that no node makes", { ...chain, nodes: [first] }, "output z: a value is made before it is used"],
    ["a point that no node makes", { ...chain, nodes: [], outputs: new Map() }, "point a.centered: a value is made"],
    [
      "a state that no node makes",
      { ...chain, nodes: [], outputs: new Map(), points: new Map(), state: chain.outputs },
      "state z: a value is made before it is used",
    ],
    [
      "a result of another shape",
      withSecond({}, { shape: [2] }),
      "b (norm): a result is of the kind that its op gives; got float [2] instead of float [1]",
    ],
    ["a result of another type", withSecond({}, { type: "int" }), "got int [1] instead of float [1]"],
    ["a result that another node made", withSecond({}, { from: first }), "b (norm): a result is of the kind"],
    ["a missing result", withSecond({ outputs: [] }), "got nothing instead of float [1]"],
    ["inputs that do not fit", withSecond({ op: ops.divide.op }), "b (divide): needs divisor"],
    [
      "an attribute that the op does not have",
      withSecond({ attrs: { eps: 1 } }),
      "b (norm): norm has no attribute eps",
    ],
  ])("refuses %s", (_, tape, message) => {
    expect(() => verify(tape)).toThrow(TapeError);
    expect(() => verify(tape)).toThrow(message);
  });

  it.each<[string, (before: Value, kv: Value) => Value[]]>([
    ["read without being appended to", (before, kv) => [ops.attention(kv, before, rows, undefined, { scale: 1 })]],
    [
      "read as it was before the append",
      (before, kv) => [ops.kvAppend(before, kv, kv, rows), ops.attention(kv, before, rows, undefined, { scale: 1 })],
    ],
    [
      "read as it was, before it is appended to",
      (before, kv) => [ops.attention(kv, before, rows, undefined, { scale: 1 }), ops.kvAppend(before, kv, kv, rows)],
    ],
    [
      "appended to twice, side by side",
      (before, kv) => [ops.kvAppend(before, kv, kv, rows), ops.kvAppend(before, kv, kv, rows)],
    ],
    [
      "appended to twice, one after the other",
      (before, kv) => [ops.kvAppend(ops.kvAppend(before, kv, kv, rows), kv, kv, rows)],
    ],
    [
      "appended to twice under one name",
      (before, kv) => [before, cacheLeaf("cache.7", [1, 1, 1])].map((leaf) => ops.kvAppend(leaf, kv, kv, rows)),
    ],
  ])("refuses a cache that is %s", (_, build) => {
    const tape = buildTape("cache", () => {
      const kv = ops.selectRows(weight("kv", [9, 1, 1]), input("tokens", "int", ["T"]));
      scope("attn", () => build(cacheLeaf("cache.7", [1, 1, 1]), kv));
      return {};
    });
    expect(() => verify(tape)).toThrow(TapeError);
    expect(() => verify(tape)).toThrow(
      /attn \(\w+\): cache\.7 is appended to once, and only its appended form is read/,
    );
  });
});

describe("expand", () => {
  it("puts a composite's own ops in its place and scope, and names its inner points", () => {
    const tape = expand(twoLayers());
    expect(names(tape)).toEqual([
      "selectRows",
      ...["rms", "divide", "mul"],
      ...["splitHeads", "kvAppend", "attentionScores", "attentionSoftmax", "attentionMix"],
      ...["splitHeads", "kvAppend", "attentionScores", "attentionSoftmax", "attentionMix"],
      ...["norm", "mergeHeads"],
    ]);
    const scopes = tape.nodes.map((node) => node.scope);
    expect(scopes.slice(1, 4)).toEqual(["ln1", "ln1", "ln1"]);
    expect(scopes.slice(-5, -2)).toEqual(Array(3).fill("blocks.1.attn"));
    const inner = ["ln1.scale", "ln1.normalized", "blocks.0.attn.scores", "blocks.0.attn.pattern"];
    expect([...tape.points.keys()]).toEqual(expect.arrayContaining(inner));
    expect(tape.points.get("blocks.1.attn.pattern")?.shape).toEqual([2, "P4"]);
    expect(tape.points.get("ln1.scale")?.shape).toEqual(["T", 1]);
  });

  it("keeps outer points, outputs, state and leaves, on the values that replace the old ones", () => {
    const tape = twoLayers();
    const expanded = expand(tape);
    for (const part of ["points", "outputs", "state"] as const) {
      const [before, after] = [tape[part], expanded[part]];
      expect([...after.keys()].slice(0, before.size)).toEqual([...before.keys()]);
      for (const [name, value] of before) expect(after.get(name)?.shape).toEqual(value.shape);
    }
    const out = expanded.points.get("ln1.out");
    expect(expanded.nodes.find((node) => node.outputs.includes(out as Value))?.op.name).toBe("mul");
    expect(leavesOf(expanded)).toEqual(leavesOf(tape));
  });

  it("replaces only the composites that are chosen", () => {
    const tape = expand(twoLayers(), (node) => node.scope === "blocks.1.attn");
    expect(names(tape).filter((name) => name.startsWith("attention"))).toEqual([
      ...["attention", "attentionScores", "attentionSoftmax", "attentionMix"],
    ]);
    expect(tape.points.has("blocks.1.attn.scores")).toBe(true);
    expect(tape.points.has("blocks.0.attn.scores")).toBe(false);
    expect(names(tape)).toContain("rmsNorm");
  });

  it("gives the tape itself where nothing is to be expanded, and changes none that it is given", () => {
    const tape = twoLayers();
    const before = names(tape);
    const expanded = expand(tape);
    expect(expand(expanded)).toBe(expanded);
    expect(names(tape)).toEqual(before);
  });

  it("expands composites of composites", () => {
    const outer: Composite = {
      ...(ops.glu.op as Composite),
      decompose: ({ gate, up }) => ops.glu(up as Value, gate as Value, { fn: "relu" }),
    };
    const x = constant("x", Float64Array.of(1), [1]);
    const tape = buildTape("nested", () => ({ y: emit(outer, [x, x], { fn: "relu" })[0] as Value }));
    expect(names(expand(tape))).toEqual(["activate", "mul"]);
  });
});

describe("prune", () => {
  it("drops what no output and no cache needs, with its points", () => {
    const tape = twoLayers();
    const pruned = prune(tape);
    expect(names(pruned)).toEqual(names(tape).filter((name) => name !== "norm"));
    expect([...tape.points.keys()].filter((name) => !pruned.points.has(name))).toEqual(["unused.norm"]);
    expect([...pruned.state.keys()]).toEqual(["cache.0", "cache.1"]);
  });

  it("keeps caches that no output needs, unless they are given up", () => {
    const tape = twoLayers();
    const onlyFirst = withOutputs(tape, { first: tape.outputs.get("first") as Value });
    const kept = prune(onlyFirst);
    expect([...kept.state.keys()]).toEqual(["cache.0", "cache.1"]);
    expect(names(kept).filter((name) => name === "attention")).toHaveLength(1);
    expect(names(kept).filter((name) => name === "kvAppend")).toHaveLength(2);
    const dropped = prune(onlyFirst, { keepsState: false });
    expect([...dropped.state.keys()]).toEqual(["cache.0"]);
    expect(names(dropped).filter((name) => name === "kvAppend")).toHaveLength(1);
    expect(leavesOf(dropped).map(({ from }) => (from as { name: string }).name)).not.toContain("cache.1");
  });

  it("leaves nothing of a tape without outputs", () => {
    const pruned = prune(withOutputs(twoLayers(), {}), { keepsState: false });
    expect([pruned.nodes.length, pruned.points.size, pruned.state.size]).toEqual([0, 0, 0]);
  });

  it("keeps a node once that two outputs share", () => {
    expect(names(prune(twoLayers())).filter((name) => name === "rmsNorm")).toHaveLength(1);
  });
});

describe("printTape", () => {
  it("shows what is given, computed and made, one line each, with shapes, attributes and points", () => {
    const tape = buildTape("demo", () => {
      const x = ops.selectRows(weight("embed", [9, 2]), input("tokens", "int", ["T"]));
      const normed = scope("ln1", () =>
        point("out", point("again", ops.rmsNorm(x, weight("gain", [2]), { eps: 1 / 3 }))),
      );
      const q = ops.splitHeads(normed, { nHeads: 1, headDim: 2 });
      const cache = ops.kvAppend(cacheLeaf("cache.0", [1, 2, 2]), q, q, rows);
      keepState("cache.0", cache);
      const [values, indices] = ops.topK(ops.matmul(normed, constant("w", new Float64Array(6), [3, 2])), { k: 2 });
      return { values, indices };
    });
    expect(`\n${printTape(tape)}\n`).toBe(`
tape demo
given
  embed         [9, 2]
  tokens        int [T]
  gain          [2]
  cache.0       cache [1, 2, 2]
  rows          rows []
  w (constant)  [3, 2]
computed
  %0 = selectRows(embed, tokens)          [T, 2]
  %1 = rmsNorm(%0, gain) eps=0.3333333    [T, 2]          # ln1.again ln1.out (ln1.scale) (ln1.normalized)
  %2 = splitHeads(%1) nHeads=1 headDim=2  [T, 1, 2]
  %3 = kvAppend(cache.0, %2, %2, rows)    cache
  %4 = matmul(%1, w)                      [T, 3]
  %5, %6 = topK(%4) k=2                   [T, 2], [T, 2]
gives
  values = %5
  indices = %6
  cache.0 = %3
`);
  });
});
