/** Edits of experts and of what routers choose, held against plain loops and against other weights. */

import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeSafetensors } from "../src/checkpoint/write-safetensors.ts";
import type { EditObject, EditSpec } from "../src/glass/edit-spec.ts";
import { EditList } from "../src/run/edit-list.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { catalogOf } from "./support/catalog.ts";
import { fixture, goldenTokens, readTensors } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { plainChoice, type RouterRule, type Wishes } from "./support/plain-router.ts";
import { routerRule, SPARSE_GOLDENS } from "./support/sparse-families.ts";
import { deviation } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const bits = ({ data }: Tensor): Int32Array => new Int32Array(data.slice().buffer);

/** Whole numbers below `n`, the same in every run: a linear congruential generator. */
function below(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

describe.each(SPARSE_GOLDENS)("edits of %s", (name) => {
  let model: Model;
  let tokens: number[];
  let plain: Run;
  let rule: RouterRule;
  let nExperts: number;
  /** The last layer with experts, and the points of its router and its experts. */
  let layer: number;
  const router = (point: string): string => `blocks.${layer}.router.${point}`;
  const experts = (point: string): string => `blocks.${layer}.experts.${point}`;

  beforeAll(async () => {
    model = await open(fixture(`goldens/${name}`));
    tokens = await goldenTokens(name);
    const { layers = [], nExperts: n = 0 } = model.config.sparse ?? {};
    [layer, nExperts] = [layers.lastIndexOf(true), n];
    rule = await routerRule(name, model, layer);
    plain = await model.run(tokens, { read: ["**"] });
  });
  afterAll(() => model.close());

  const chosenAt = (t: number): number[] => [...plain.get(router("indices")).row(t).data];

  /** The router's choice at each position beside what plain loops choose from its logits. */
  async function checkChoices(edits: EditSpec[], wishesAt: (position: number) => Wishes): Promise<void> {
    const logits = { at: router("logits"), before: true };
    const run = await model.run(tokens, {
      read: [logits, router("indices"), router("weights")],
      edits,
      logits: "none",
    });
    for (const t of tokens.keys()) {
      const wanted = plainChoice(rule, [...run.get(logits.at, { before: true }).row(t).data], wishesAt(t));
      const [indices, weights] = [run.get(router("indices")).row(t).data, run.get(router("weights")).row(t).data];
      expect([...indices], `${JSON.stringify(edits)} at ${t}`).toEqual(wanted.experts);
      for (const [i, weight] of weights.entries()) expect(weight).toBeCloseTo(wanted.weights[i], 4);
    }
  }

  it("begin from the choice that plain loops make", async () => {
    await checkChoices([], () => ({}));
  });

  it("ban, force and swap experts as plain loops do, in any combination, and never choose a banned one", async () => {
    const random = below(SPARSE_GOLDENS.indexOf(name) + 1);
    const { nExpertsPerToken } = rule;
    for (const _ of range(40)) {
      const shuffled = range(nExperts)
        .map((expert) => [random(2 ** 20), expert])
        .sort(([a], [b]) => a - b)
        .map(([, expert]) => expert);
      const ban = shuffled.slice(0, random(nExperts - nExpertsPerToken + 1));
      const allowed = shuffled.slice(ban.length);
      const force = allowed.slice(0, random(nExpertsPerToken + 1));
      const others = allowed.slice(force.length);
      const swaps =
        others.length < 2 ? [] : range(random(3)).map(() => [others[random(others.length)], others[0]] as const);
      const from = random(tokens.length);
      const at = `L${layer}.router`;
      const positions = [from, tokens.length] as const;
      const edits: EditObject[] = [
        ...(ban.length > 0 ? [{ at, positions, ban }] : []),
        ...(force.length > 0 ? [{ at, positions, force }] : []),
        ...swaps.filter(([a, b]) => a !== b).map((swap) => ({ at, positions, swap })),
      ];
      await checkChoices(edits, (t) => (t < from ? {} : { ban, force, swaps }));
    }
  });

  it("sort the places again after a swap, whichever way round it is", async () => {
    const [first] = chosenAt(3);
    const absent = range(nExperts).filter((expert) => !chosenAt(3).includes(expert));
    for (const to of absent) {
      await checkChoices([`L${layer}.router@3 swap ${first} -> ${to}`], (t) =>
        t === 3 ? { swaps: [[first, to]] } : {},
      );
    }
    const [to] = absent;
    const there = `L${layer}.router swap ${first} -> ${to} @3`;
    const back = `L${layer}.router swap ${to} -> ${first} @3`;
    await checkChoices([there, back], () => ({}));
  });

  it("that ask for what is so anyway change no bit", async () => {
    const [a, b] = [chosenAt(3)[0], range(nExperts).find((expert) => !chosenAt(3).includes(expert)) as number];
    const at = `L${layer}.router`;
    const lists: EditSpec[][] = [
      [`${at}@3 force [${chosenAt(3).join(", ")}]`],
      [`${at}@3 force ${a}`],
      [`${at}@3 swap ${b} -> ${a}`],
      [`${at}@3 swap ${a} -> ${chosenAt(3)[1]}`],
      [`L${layer}.E${b}@3 = 0`, `L${layer}.E${b}.N2@3 += 5`, `L${layer}.E${b}.weight@3 *= 2`],
      [`L${layer}.E${a} *= 1`, `L${layer}.E${a}.post += 0`, `L${layer}.E${a}.weight *= 1`],
      [{ at: `L${layer}.E${a}.pre`, clamp: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] }],
    ];
    for (const edits of lists) {
      // The same slots, in which the second sequence is not edited.
      const run = await model.run([tokens, tokens], { read: ["logits"], edits: [edits, []] });
      const [edited, left] = [0, 1].map((sequence) => bits(run.get("logits", { sequence })));
      expect(edited, JSON.stringify(edits)).toEqual(left);
    }
  });

  it("reach the rows whose tokens went to the expert, and say how many these are", async () => {
    const t = 5;
    const [expert] = chosenAt(t);
    const rows = tokens
      .keys()
      .filter((t) => chosenAt(t).includes(expert))
      .toArray();
    const edit = `L${layer}.E${expert}.N2 = 7`;
    const run = await model.run(tokens, { read: [experts("post"), router("indices"), "logits"], edits: [edit] });
    expect(run.edited).toEqual([{ edit, nRows: rows.length, nNotChosen: tokens.length - rows.length }]);
    for (const t of tokens.keys()) {
      const changed = plain.get(experts("post")).row(t).data.slice();
      const place = chosenAt(t).indexOf(expert);
      if (place >= 0) changed[place * (model.config.sparse?.dExpert ?? 0) + 2] = 7;
      const found = run.get(experts("post")).row(t).data;
      for (const [i, value] of changed.entries()) expect(found[i]).toBeCloseTo(value, 4);
    }
    const session = model.session({ edits: [`L${layer}.E${expert} = 0 @${rows[0]}`] });
    await session.append(tokens.slice(0, 3));
    await session.append(tokens.slice(3));
    expect(session.edited).toMatchObject([{ nRows: 1, nNotChosen: 0 }]);
    session.close();
  });

  it("give what a text alone gives where several share a step, each with its own experts", async () => {
    const lists: EditSpec[][] = [
      [`L${layer}.E0.N1 = 3`, `L${layer}.router ban 1`],
      [`L${layer}.E1.N2 = 3`, `L${layer}.router ban [0, 2] @2:5`],
      [],
      [`L${layer}.router force 2`, `L${layer}.E2 *= 3`],
      [`L${layer}.router swap 0 -> 1`, `L${layer}.E1.weight = 0.5`],
    ];
    const together = await model.run(
      lists.map(() => tokens),
      { read: ["logits"], edits: lists },
    );
    for (const [i, edits] of lists.entries()) {
      const alone = await model.run(tokens, { edits });
      expect(deviation(together.get("logits", { sequence: i }), alone.logits)).toBeLessThanOrEqual(TOLERANCE.rows);
    }
    const sweep = model.sweep(tokens, lists, { logits: "last" });
    let i = 0;
    for await (const run of sweep) {
      const alone = await model.run(tokens, { logits: "last", edits: lists[i++] });
      expect(deviation(run.logits, alone.logits)).toBeLessThanOrEqual(TOLERANCE.rows);
    }
  });

  it("put in of one expert what a run had of it, at positions where its token went there", async () => {
    const [expert] = chosenAt(6);
    const point = experts(`${expert}.out`);
    const recorded = await model.run(tokens, { read: [point], edits: [`L${layer}.E${expert} *= 2`] });
    const doubled = await model.run(tokens, { edits: [`L${layer}.E${expert}@6 *= 2`] });
    const patched = await model.run(tokens, { edits: [{ at: point, positions: 6, patch: recorded }] });
    expect(deviation(patched.logits, doubled.logits)).toBeLessThanOrEqual(TOLERANCE.rows);
    const mean = await model.run(tokens, { read: [point], edits: [{ at: point, mean: recorded }] });
    expect(deviation(mean.get(point).row(0), recorded.mean(point))).toBeLessThanOrEqual(TOLERANCE.rows);
    const elsewhere = tokens.keys().find((t) => !chosenAt(t).includes(expert)) as number;
    await expect(model.run(tokens, { edits: [{ at: point, positions: elsewhere, patch: recorded }] })).rejects.toThrow(
      `the recorded token must have gone to expert ${expert}; got position ${elsewhere}`,
    );
  });

  it("are the same bits as text, as an object and as JSON", async () => {
    const forms: EditSpec[][] = [
      [`L${layer}.router@2:5 ban [0, 1]`, { at: `blocks.${layer}.router`, positions: [2, 5], ban: [0, 1] }],
      [`L${layer}.router force 1`, { at: router("weights"), force: 1 }],
      [`L${layer}.router swap 0 -> 1`, { at: `L${layer}.router`, swap: [0, 1] }],
      [`L${layer}.E1.weight *= 0.5`, { at: router("weights"), expert: 1, scale: 0.5 }],
      [`L${layer}.E1.N2 = 3`, { at: experts("post[2]"), expert: 1, set: 3 }],
      [`L${layer}.E1 = 0`, { at: experts("1"), set: 0 }],
      [`L${layer}.E1 *= 0`, { at: `blocks.${layer}.experts.1.out`, set: 0 }],
    ];
    for (const [first, second] of forms) {
      const expected = bits((await model.run(tokens, { edits: [first] })).logits);
      for (const edit of [second, JSON.stringify(second)]) {
        expect(bits((await model.run(tokens, { edits: [edit] })).logits), JSON.stringify(edit)).toEqual(expected);
      }
    }
  });

  it.each<[edits: EditSpec[], message: string]>([
    [["router ban 99"], "has experts 0 to"],
    [["router force [0, 1, 2, 3]"], "4 forced. Force fewer."],
    [["router ban 1", "router force 1 @3"], "at position 3: an expert is banned or forced; got both for expert 1."],
    [
      ["router ban 1", "router swap 0 -> 1"],
      "a swap brings an expert that may be chosen; got expert 1, which is banned.",
    ],
    [["router force 0", "router swap 0 -> 1"], "a swap takes an expert that may go; got expert 0, which is forced."],
    [["mlp ban 1"], "ban is done to a router; got"],
    [["router.logits ban 1"], "ban is done to a router; got"],
    [["router.indices = 1"], "so they cannot be edited as values; got set. Ban, force or swap experts"],
    [["E1 += 1"], "exists only while it is read, so it cannot be edited; got add. It may be scaled by a number"],
    [["router.limitedScores = -Infinity"], "To keep an expert from being chosen, ban it."],
    [["E99 = 0"], "has experts 0 to"],
  ])("%j are refused: %s", async (texts, message) => {
    const edits = texts.map((text) => `L${layer}.${text}`);
    await expect(model.run(tokens, { edits })).rejects.toThrow(message);
  });

  it("leave enough experts to choose from, which is counted over all bans of a row", async () => {
    const { nExpertsPerToken } = rule;
    const most = nExperts - nExpertsPerToken;
    const [allowed, tooMany] = [range(most), range(most + 1)];
    const ban = (list: number[], positions = ""): string => `L${layer}.router${positions} ban [${list.join(", ")}]`;
    const left = await model.run(tokens, { read: [router("indices")], edits: [ban(allowed)] });
    expect(new Set(left.get(router("indices")).data)).toEqual(new Set(range(nExperts).slice(most)));
    const expected = `at least ${nExpertsPerToken} experts must be left to choose; got ${most + 1} banned of ${nExperts}`;
    await expect(model.run(tokens, { edits: [ban(tooMany)] })).rejects.toThrow(expected);
    await expect(model.run(tokens, { edits: [ban(allowed), ban([most], "@3")] })).rejects.toThrow(expected);
    await model.run(tokens, { edits: [ban(allowed, "@4:6"), ban([most], "@3")] });
  });

  it("of a function are refused for one expert, with what to do instead", async () => {
    const edit: EditObject = { at: `L${layer}.E1.post`, call: () => {} };
    await expect(model.run(tokens, { edits: [edit] })).rejects.toThrow(
      `Give call at ${experts("post")}, whose places ${router("indices")} names`,
    );
    const seen: number[][] = [];
    await model.run(tokens, {
      edits: [{ at: experts("post"), positions: 3, call: ({ shape }) => void seen.push([...shape]) }],
    });
    expect(seen).toEqual([[1, rule.nExpertsPerToken, model.config.sparse?.dExpert]]);
  });
});

describe("edits of other experts", () => {
  const catalog = catalogOf("deepSeekV3");
  const refuse = () => Promise.reject(new Error("no file is named"));
  const files = { vector: refuse, recording: refuse, fingerprint: refuse };
  const programOf = async (edit: EditSpec): Promise<string> =>
    (await new EditList([edit], () => catalog, files).growing()).slots.key;

  it.each<[EditSpec, EditSpec]>([
    ["L5.E0.N1 = 3", "L5.E15.N9@2:4 = 5"],
    ["L5.E0 = 0", "L5.E7@generated = 0"],
    ["L5.E0.weight *= 2", "L5.E7.weight *= 3"],
    ["L5.router ban 0", "L5.router ban [3, 4, 5]"],
    ["L5.router force 0", "L5.router@3 force 7"],
    ["L5.router swap 0 -> 1", "L5.router swap 7 -> 3"],
  ])("share a program: %s and %s", async (one, other) => {
    expect(await programOf(one)).toBe(await programOf(other));
    expect(await programOf(one)).not.toBe(await programOf("L4.E0.N1 = 3"));
  });
});

describe("edits of experts that have the effect of other weights", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "golgi-moe-edits-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** The model with some tensors changed by hand. */
  async function changed(
    name: string,
    pattern: RegExp,
    change: (data: Float32Array, shape: readonly number[]) => void,
  ): Promise<Model> {
    await cp(fixture(`goldens/${name}`), folder, { recursive: true });
    const tensors = await readTensors(join(folder, "model.safetensors"));
    const found = [...tensors].filter(([name]) => pattern.test(name));
    expect(found).toHaveLength(1);
    for (const [, { data, shape }] of found) change(data as Float32Array, shape);
    const named = Array.from(tensors, ([name, { shape, data }]) => ({ name, shape, data: data as Float32Array }));
    await writeFile(join(folder, "model.safetensors"), encodeSafetensors(named));
    return open(folder);
  }

  const column = (data: Float32Array, [nOut, nIn]: readonly number[]): void => {
    for (let o = 0; o < nOut; o++) data[o * nIn + 2] = 0;
  };
  const scaled = (factor: number) => (data: Float32Array) => {
    for (let i = 0; i < data.length; i++) data[i] *= factor;
  };
  const down = /layers\.1\..*experts\.1\.(w2|down_proj)\.weight$/;

  it.each(
    ["mixtral-window-tied", "deepseek-v3"].flatMap((name) => [
      {
        name,
        what: "a neuron of an expert at 0, as if it wrote nothing",
        edit: "L1.E1.N2 = 0",
        pattern: down,
        change: column,
      },
      {
        name,
        what: "an expert at 0, as if its output weights were",
        edit: "L1.E1 = 0",
        pattern: down,
        change: scaled(0),
      },
      {
        name,
        what: "an expert's weight halved, as if its output weights were",
        edit: "L1.E1.weight *= 0.5",
        pattern: down,
        change: scaled(0.5),
      },
    ]),
  )("$name: $what", async ({ name, edit, pattern, change }) => {
    await holds(name, edit, pattern, change);
  });

  it("the shared expert at 0, as if its output weights were", async () => {
    await holds("deepseek-v3", "L1.shared = 0", /layers\.1\..*shared_experts\.down_proj\.weight$/, scaled(0));
    await holds("deepseek-v3", "L1.shared.N2 = 0", /layers\.1\..*shared_experts\.down_proj\.weight$/, column);
  });

  async function holds(
    name: string,
    edit: string,
    pattern: RegExp,
    change: (data: Float32Array, shape: readonly number[]) => void,
  ): Promise<void> {
    const [edited, other] = [await open(fixture(`goldens/${name}`)), await changed(name, pattern, change)];
    const tokens = await goldenTokens(name);
    const read = ["**.residPost", "**.mlp.out"];
    const [a, b] = [await edited.run(tokens, { read, edits: [edit] }), await other.run(tokens, { read })];
    const unedited = await edited.run(tokens);
    for (const point of a.points) expect(deviation(a.get(point), b.get(point)), point).toBeLessThanOrEqual(1e-5);
    expect(deviation(a.logits, b.logits)).toBeLessThanOrEqual(1e-5);
    expect(deviation(a.logits, unedited.logits)).toBeGreaterThan(1e-4);
    await edited.close();
    await other.close();
  }
});
