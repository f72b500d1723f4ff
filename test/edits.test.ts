/** What edits change, to the last bit where that can be said, and what they leave alone. */

import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeSafetensors } from "../src/checkpoint/write-safetensors.ts";
import { PointError, RequestError } from "../src/errors.ts";
import type { EditObject, EditSpec } from "../src/glass/edit-spec.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { fixture, goldenTokens, readTensors, stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { deviation } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

/** Grouped heads, biases, tied weights; LayerNorm and learned positions; sliding windows; q and k norms. */
const FAMILIES = ["llama-bias-headdim-tied", "gpt2", "mistral-window", "qwen3-bias-tied"];

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const bits = ({ data }: Tensor): Int32Array => new Int32Array(data.slice().buffer);

describe.each(FAMILIES)("edits of %s", (name) => {
  let model: Model;
  let tokens: number[];
  let plain: Run;
  let writable: string[];

  beforeAll(async () => {
    model = await open(fixture(`goldens/${name}`));
    tokens = await goldenTokens(name);
    plain = await model.run(tokens, { read: ["**"] });
    writable = model.points().flatMap((point) => (point.writable ? [point.name] : []));
  });
  afterAll(() => model.close());

  it("that change nothing change no bit of the same program, at any point", async () => {
    const both = [tokens, tokens];
    for (const at of writable) {
      const isOverKeys = at.endsWith("attn.scores") || at.endsWith("attn.pattern");
      const idle: EditObject[] = [
        { at, scale: 1 },
        { at, add: 0 },
        { at, clamp: [-Infinity, Infinity] },
        { at, patch: plain },
        { at, call: () => {} },
      ];
      // The same slots, in which the second sequence is edited as well or not at all.
      const read = isOverKeys ? [] : [at];
      const changed = await model.run(both, { read, edits: [idle.slice(0, 3), idle.slice(0, 3)] });
      const left = await model.run(both, { read, edits: [idle.slice(0, 3), []] });
      expect(bits(changed.logits), at).toEqual(bits(left.logits));
      for (const edit of idle) {
        const run = await model.run(tokens, { edits: [edit] });
        expect(deviation(run.logits, plain.logits), `${at} ${Object.keys(edit)[1]}`).toBeLessThanOrEqual(
          TOLERANCE.rows,
        );
      }
    }
  });

  it("put in at every point at once what another text gave there, give that text's logits to the last bit", async () => {
    const other = tokens.map((token) => (token * 7 + 3) % model.config.vocabSize);
    const edits = writable.map((at): EditObject => ({ at, patch: plain }));
    const whole = await model.run(tokens, { edits });
    const patched = await model.run(other, { edits });
    expect(bits(patched.logits)).toEqual(bits(whole.logits));
    expect(bits(patched.logits)).toEqual(bits(plain.logits));
  });

  it("reach what comes after them, and nothing before", async () => {
    const at = "blocks.1.attn.z";
    const run = await model.run(tokens, { read: ["**"], edits: [{ at: "L1.H1", positions: 3, set: 0 }] });
    const order = model.points().map((point) => point.name);
    for (const point of order.slice(0, order.indexOf(at))) {
      expect(deviation(run.get(point), plain.get(point)), point).toBeLessThanOrEqual(TOLERANCE.rows);
    }
    const z = run.get(at);
    for (const [t, h] of range(tokens.length).flatMap((t) => range(model.config.nHeads).map((h) => [t, h]))) {
      const expected =
        t === 3 && h === 1
          ? plain
              .get(at)
              .row(t, h)
              .data.map(() => 0)
          : plain.get(at).row(t, h).data;
      expect(deviation(z.row(t, h), new Tensor([expected.length], expected))).toBeLessThanOrEqual(TOLERANCE.rows);
    }
    const before = run.get("blocks.1.residMid").row(2);
    expect(deviation(before, plain.get("blocks.1.residMid").row(2))).toBeLessThanOrEqual(TOLERANCE.rows);
    expect(deviation(run.get("blocks.1.residMid").row(3), plain.get("blocks.1.residMid").row(3))).toBeGreaterThan(1e-4);
  });

  it("can be read before and after", async () => {
    const at = "blocks.0.mlp.out";
    const run = await model.run(tokens, { read: [at, { at, before: true }], edits: [`${at} *= 3`] });
    expect(deviation(run.get(at, { before: true }), plain.get(at))).toBeLessThanOrEqual(TOLERANCE.rows);
    const tripled = new Tensor(
      run.get(at).shape,
      run.get(at, { before: true }).data.map((x) => Math.fround(3 * x)),
    );
    expect(bits(run.get(at))).toEqual(bits(tripled));
  });

  it("say what loops say, action by action", async () => {
    const { dModel, nHeads, headDim } = model.config;
    const at = "blocks.0.attn.contribution";
    const vector = range(dModel).map((i) => Math.sin(i) / 2);
    const before = plain.get(at);
    const rows = (change: (x: number, i: number, row: ArrayLike<number>) => number): number[] =>
      range(tokens.length).flatMap((t) => {
        const row = before.row(t).data;
        return Array.from(row, (x, i) => (t >= 2 && t < 5 ? change(x, i, row) : x));
      });
    const along = (row: ArrayLike<number>): number =>
      range(dModel).reduce((sum, i) => sum + row[i] * vector[i], 0) / vector.reduce((sum, v) => sum + v * v, 0);
    const expected: [Partial<EditObject>, number[]][] = [
      [{ set: 0.5 }, rows(() => 0.5)],
      [{ set: vector }, rows((_, i) => vector[i])],
      [{ add: vector, times: 4 }, rows((x, i) => x + 4 * vector[i])],
      [{ scale: -2 }, rows((x) => -2 * x)],
      [{ scale: vector }, rows((x, i) => x * vector[i])],
      [{ clamp: [-0.01, 0.02] }, rows((x) => Math.min(0.02, Math.max(-0.01, x)))],
      [{ projectOut: vector }, rows((x, i, row) => x - along(row) * vector[i])],
      [
        { mean: plain },
        rows((_, i) => range(tokens.length).reduce((sum, t) => sum + before.at(t, i), 0) / tokens.length),
      ],
    ];
    for (const [action, data] of expected) {
      const run = await model.run(tokens, { read: [at], edits: [{ at, positions: [2, 5], ...action }] });
      const wanted = new Tensor(before.shape, Float64Array.from(data));
      expect(deviation(run.get(at), wanted), JSON.stringify(Object.keys(action))).toBeLessThanOrEqual(1e-5);
      expect(run.edited.map(({ nRows }) => nRows)).toEqual([3]);
    }
    const z = await model.run(tokens, { read: ["blocks.0.attn.z"], edits: ["blocks.0.attn.z[1,2] = 7"] });
    expect(z.get("blocks.0.attn.z").at(4, 1, 2)).toBe(7);
    expect(z.get("blocks.0.attn.z").at(4, nHeads - 1, headDim - 1)).toBeCloseTo(
      plain.get("blocks.0.attn.z").at(4, nHeads - 1, headDim - 1),
      4,
    );
  });

  it("of attention name a head and a key", async () => {
    const at = "blocks.0.attn.pattern";
    const run = await model.run(tokens, { read: [at], edits: ["L0.H1.pattern[2]@4 = 0.25", "L0.H0.pattern@5 *= 0"] });
    const [before, after] = [plain.get(at), run.get(at)];
    for (const [h, t, s] of range(before.shape[0]).flatMap((h) =>
      range(tokens.length).flatMap((t) => range(tokens.length).map((s) => [h, t, s])),
    )) {
      const expected = h === 1 && t === 4 && s === 2 ? 0.25 : h === 0 && t === 5 ? 0 : before.at(h, t, s);
      expect(after.at(h, t, s), `${h} ${t} ${s}`).toBeCloseTo(expected, 5);
    }
    const scores = await model.run(tokens, { read: [at], edits: ["L0.H1.scores[4]@5 = -1e9"] });
    expect(scores.get(at).at(1, 5, 4)).toBe(0);
    const sum = range(6).reduce((total, s) => total + scores.get(at).at(1, 5, s), 0);
    expect(sum).toBeCloseTo(1, 5);
    const other = await model.run(tokens.toReversed(), { read: [at], edits: [{ at: "L0.H1.pattern", patch: plain }] });
    for (const t of range(tokens.length)) {
      const [found, wanted] = [other.get(at).row(1, t), before.row(1, t)];
      expect(deviation(found, wanted)).toBeLessThanOrEqual(TOLERANCE.rows);
    }
  });

  it("are the same bits as text, as an object and as JSON, and for every name of a point", async () => {
    const forms: EditSpec[][] = [
      ["L0.N3@2:5 = 0.5", { at: "L0.N3", positions: [2, 5], set: 0.5 }, '{"at":"L0.N3@2:5","set":0.5}'],
      ["L1.H1 *= -0.5", { at: "blocks.1.attn.z[1]", scale: -0.5 }, '{"at":"blocks.1.attn.hook_z[1]","scale":-0.5}'],
      ["L0.residPost += 2", { at: "L0", add: 1, times: 2 }, '{"at":"resid_post.0","add":2}'],
      ["L1.mlp = clamp(-0.1, 0.1)", { at: "L1.mlp", clamp: [-0.1, 0.1] }, '{"at":"L1.mlp","clamp":[-0.1,0.1]}'],
    ];
    for (const [first, ...others] of forms) {
      const expected = bits((await model.run(tokens, { edits: [first] })).logits);
      expect(expected).not.toEqual(bits(plain.logits));
      for (const edit of others) expect(bits((await model.run(tokens, { edits: [edit] })).logits)).toEqual(expected);
    }
  });

  it("of sequences that share a step are each their own", async () => {
    const lists: EditSpec[][] = [["L0.N3 = 1", "L1.H0@3 = 0"], [], ["L1.H1 = 0", "L0.N5 = 1"], ["L0.mlp *= 0"]];
    const together = await model.run(
      lists.map(() => tokens),
      { read: ["logits"], edits: lists },
    );
    for (const [i, edits] of lists.entries()) {
      const alone = await model.run(tokens, { edits });
      expect(deviation(together.get("logits", { sequence: i }), alone.logits)).toBeLessThanOrEqual(TOLERANCE.rows);
    }
  });

  it("of a sweep give what a run of its own gives for each", async () => {
    const lists: EditSpec[][] = range(tokens.length).map((p) => [`L${p % 2}.H1@${p} = 0`]);
    let i = 0;
    for await (const run of model.sweep(tokens, lists, { logits: "last" })) {
      const alone = await model.run(tokens, { logits: "last", edits: lists[i++] });
      expect(deviation(run.logits, alone.logits)).toBeLessThanOrEqual(TOLERANCE.rows);
    }
    expect(i).toBe(lists.length);
  });
});

describe("an edit that has the effect of other weights", () => {
  const name = "llama-bias-headdim-tied";
  const N_HEADS = 6;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "golgi-edits-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** The model with one tensor changed by hand. */
  async function changed(
    tensor: string,
    change: (data: Float32Array, shape: readonly number[]) => void,
  ): Promise<Model> {
    await cp(fixture(`goldens/${name}`), folder, { recursive: true });
    const tensors = await readTensors(join(folder, "model.safetensors"));
    const { data, shape } = tensors.get(tensor) as Tensor<Float32Array>;
    change(data, shape);
    const named = Array.from(tensors, ([name, { shape, data }]) => ({ name, shape, data: data as Float32Array }));
    await writeFile(join(folder, "model.safetensors"), encodeSafetensors(named));
    return open(folder);
  }

  it.each([
    [
      "a neuron at 0, as if it wrote nothing",
      "L1.N5 = 0",
      "model.layers.1.mlp.down_proj.weight",
      (data: Float32Array, [nOut, nIn]: readonly number[]) => {
        for (let o = 0; o < nOut; o++) data[o * nIn + 5] = 0;
      },
    ],
    [
      "an MLP scaled, as if its output weights were",
      "L0.mlp *= 0.5",
      "model.layers.0.mlp.down_proj.weight",
      (data: Float32Array) => {
        for (let i = 0; i < data.length; i++) data[i] *= 0.5;
      },
    ],
    [
      "a head at 0, as if its columns of the output projection were",
      "L1.H2 = 0",
      "model.layers.1.self_attn.o_proj.weight",
      (data: Float32Array, [nOut, nIn]: readonly number[]) => {
        const headDim = nIn / N_HEADS;
        for (let o = 0; o < nOut; o++) data.fill(0, o * nIn + 2 * headDim, o * nIn + 3 * headDim);
      },
    ],
  ])("%s", async (_, edit, tensor, change) => {
    const [edited, other] = [await open(fixture(`goldens/${name}`)), await changed(tensor, change)];
    const tokens = await goldenTokens(name);
    // The bias of an MLP is part of its output, and not of its weights.
    const isBiasFree = !edit.includes("mlp");
    const options = { read: ["**.residPost", "**.attn.out"] };
    const [a, b] = [await edited.run(tokens, { ...options, edits: [edit] }), await other.run(tokens, options)];
    const unedited = await edited.run(tokens, options);
    if (isBiasFree || !edited.bindings.weights.has("blocks.0.mlp.bDown")) {
      for (const point of a.points) expect(deviation(a.get(point), b.get(point)), point).toBeLessThanOrEqual(1e-5);
      expect(deviation(a.logits, b.logits)).toBeLessThanOrEqual(1e-5);
    }
    expect(deviation(a.logits, unedited.logits)).toBeGreaterThan(1e-4);
    await edited.close();
    await other.close();
  });
});

describe("edits while generating", () => {
  let model: Model;
  const prompt = "Lily saw a big dog";
  beforeAll(async () => {
    model = await open(stories260K);
  });
  afterAll(() => model.close());

  async function generated(edits: EditSpec[], maxTokens = 8): Promise<{ tokens: number[]; nRows: number[] }> {
    const tokens: number[] = [];
    const nRows: number[] = [];
    for await (const { token, run } of model.generate(prompt, { maxTokens, edits })) {
      tokens.push(token);
      nRows.push(run.edited.reduce((sum, count) => sum + count.nRows, 0));
    }
    return { tokens, nRows };
  }

  it("are applied to each generated token that is run, or to the prompt alone, or to all", async () => {
    const nPrompt = model.encode(prompt).length;
    expect((await generated(["L2.N7 = 3 @generated"])).nRows).toEqual([0, 1, 1, 1, 1, 1, 1, 1]);
    expect((await generated(["L2.N7 = 3 @prompt"])).nRows).toEqual([nPrompt, 0, 0, 0, 0, 0, 0, 0]);
    expect((await generated(["L2.N7 = 3"])).nRows).toEqual([nPrompt, 1, 1, 1, 1, 1, 1, 1]);
    expect((await generated([`L2.N7 = 3 @${nPrompt + 2}`])).nRows).toEqual([0, 0, 0, 1, 0, 0, 0, 0]);
  });

  it("give what a run of the whole text with the same edits gives", async () => {
    const edits = ["L3.residPost += 2 @generated", "L1.H3 = 0 @prompt"];
    const { tokens } = await generated(edits);
    const promptTokens = model.encode(prompt);
    const text = [...promptTokens, ...tokens.slice(0, -1)];
    const run = await model.run(text, { edits, generatedFrom: promptTokens.length });
    const chosen = range(tokens.length).map((i) => {
      const { data } = run.logits.row(promptTokens.length - 1 + i);
      return data.indexOf(Math.max(...data));
    });
    expect(chosen).toEqual(tokens);
    expect(tokens).not.toEqual((await generated([])).tokens);
  });

  it("stay a session's own, through turns, forks and cut ends", async () => {
    const session = model.session({ edits: ["L3.residPost += 2 @generated"] });
    const count = () => session.edited.reduce((sum, { nRows }) => sum + nRows, 0);
    for await (const _ of session.generate(prompt, { maxTokens: 4 }));
    expect(count()).toBe(3);
    const fork = await session.fork();
    // The fourth token was generated too, and is run only now, as the first of what follows.
    const last = session.tokens.length;
    const whole = await model.run([...session.tokens, 5, 6], {
      edits: ["L3.residPost += 2 @generated"],
      generatedFrom: model.encode(prompt).length,
    });
    expect(whole.logits.shape[0]).toBe(last + 2);
    for await (const _ of session.generate([1], { maxTokens: 3 }));
    expect(count()).toBe(5);
    await session.truncate(last - 1);
    await session.append([9]);
    expect(count()).toBe(5);
    const refused = fork.generate("x", { edits: [] } as never).next();
    await expect(refused).rejects.toThrow("edits are the session's own");
    fork.close();
    session.close();
  });

  it("never share what is cached with what is not edited", async () => {
    const [edited, plain] = [model.session({ edits: ["L0.residPost += 3"] }), model.session()];
    const tokens = model.encode(prompt);
    const [a, b] = await Promise.all([edited.append(tokens), plain.append(tokens)]);
    expect(deviation(a.logits, b.logits)).toBeGreaterThan(0.1);
    const [c, d] = await Promise.all([edited.append([5]), plain.append([5])]);
    const [whole, unedited] = [
      await model.run([...tokens, 5], { edits: ["L0.residPost += 3"], logits: "last" }),
      await model.run([...tokens, 5], { logits: "last" }),
    ];
    expect(deviation(c.logits, whole.logits)).toBeLessThanOrEqual(TOLERANCE.rows);
    expect(deviation(d.logits, unedited.logits)).toBeLessThanOrEqual(TOLERANCE.rows);
    edited.close();
    plain.close();
  });

  it("that the text never reaches are an error at its end", async () => {
    await expect(generated(["L2.N7@300 = 0"])).rejects.toThrow("L2.N7@300 = 0: an edit changes at least one row");
    await expect(generated(["L2.N7@-1 = 0"])).rejects.toThrow(
      "positions of a text that still grows count from its beginning",
    );
  });
});

describe("a function edit", () => {
  let model: Model;
  const text = "Lily saw a big dog";
  beforeAll(async () => {
    model = await open(stories260K);
  });
  afterAll(() => model.close());

  it("sees the value, changes it in place or gives another, and the run goes on from there", async () => {
    const plain = await model.run(text, { read: ["blocks.2.residMid"] });
    const seen: Tensor[] = [];
    const positions: unknown[] = [];
    const run = await model.run(text, {
      read: ["blocks.2.residMid"],
      edits: [
        {
          at: "L2.residMid@2:4",
          call: async (value, context) => {
            seen.push(new Tensor(value.shape, value.data.slice()));
            positions.push(context.positions);
            await new Promise((resolve) => setTimeout(resolve, 1));
            value.data.fill(0);
          },
        },
        {
          at: "L2.residMid@3",
          call: ({ shape, data }) =>
            new Tensor(
              shape,
              data.map(() => 1),
            ),
        },
      ],
    });
    expect(positions).toEqual([[2, 3]]);
    expect(deviation(seen[0], new Tensor([2, 64], plain.get("blocks.2.residMid").data.slice(128, 256)))).toBeLessThan(
      1e-4,
    );
    const after = run.get("blocks.2.residMid");
    expect([after.at(2, 5), after.at(3, 5)]).toEqual([0, 1]);
    const set = await model.run(text, { edits: ["L2.residMid@2 = 0", "L2.residMid@3 = 1"] });
    expect(deviation(run.logits, set.logits)).toBeLessThanOrEqual(TOLERANCE.rows);
    expect(run.edited.map(({ nRows }) => nRows)).toEqual([2, 1]);
  });

  it.each(["blocks.3.attn.pattern", "blocks.3.attn.scores", "L1.ln1.scale", "logits", "L4.attn.v", "embed"])(
    "may be at %s, and changes no bit where it changes nothing",
    async (at) => {
      const scaled = await model.run(text, { edits: [{ at, scale: 1 }] });
      const called = await model.run(text, { edits: [{ at, call: () => {} }] });
      expect(bits(called.logits)).toEqual(bits(scaled.logits));
    },
  );

  it("lets others use the model meanwhile, itself too", async () => {
    const plain = await model.run(text);
    const inner: Run[] = [];
    const outer = model.run(text, {
      edits: [
        {
          at: "L1.mlp",
          call: async () => {
            inner.push(await model.run(text), await model.run("Another text"));
          },
        },
      ],
    });
    const beside = [model.run(text), model.run(text)];
    for (const run of [await outer, ...(await Promise.all(beside)), inner[0]]) {
      expect(deviation(run.logits, plain.logits)).toBeLessThanOrEqual(TOLERANCE.rows);
    }
  });

  it("that throws fails its own run, and leaves the model and the session usable", async () => {
    const mine = new Error("mine");
    const session = model.session({
      edits: [
        {
          at: "L1.mlp@3",
          call: () => {
            throw mine;
          },
        },
      ],
    });
    await session.append(model.encode(text).slice(0, 3));
    await expect(session.append(model.encode(text).slice(3))).rejects.toBe(mine);
    expect(session.tokens).toHaveLength(3);
    session.close();
    const later = async (): Promise<void> => {
      throw mine;
    };
    await expect(model.run(text, { edits: [{ at: "L1", call: later }] })).rejects.toBe(mine);
    const wrong = model.run(text, { edits: [{ at: "L1", call: () => new Tensor([1], Float32Array.of(1)) }] });
    await expect(wrong).rejects.toThrow("the function gives a tensor [7, 64] like the one it was given, or nothing");
    expect((await model.run(text)).logits.shape).toEqual([7, 512]);
  });

  it("is called for each token while generating", async () => {
    const calls: (readonly number[])[] = [];
    const edits = [
      {
        at: "L2.N3@generated",
        call: (_: Tensor, context: { positions: readonly number[] }) => void calls.push(context.positions),
      },
    ];
    for await (const _ of model.generate(text, { maxTokens: 4, edits }));
    expect(calls).toEqual([[7], [8], [9]]);
  });
});

describe("an edit is refused", () => {
  let model: Model;
  beforeAll(async () => {
    model = await open(stories260K);
  });
  afterAll(() => model.close());

  it.each<[string, EditSpec, string]>([
    ["for want of a point", "L2.mlp.pots = 0", "Did you mean"],
    ["beyond the text", "L2.N3@50 = 0", "positions must lie in the computed rows"],
    ["at generated tokens of a run", "L2.N3 = 0 @generated", "got a text without generated tokens"],
    ["with a vector of another length", { at: "L2.mlp", add: [1, 2, 3] }, "takes one number or 64; got 3"],
    ["with a direction of zeros", { at: "L2.mlp", projectOut: Array.from({ length: 64 }, () => 0) }, "not all 0"],
    ["of a derived point, unless its source does the same", { at: "L2.H3.result", add: 1 }, "edit attn.z of the head"],
    ["of probabilities", "probs = 0", "Edit logits"],
  ])("%s", async (_, edit, message) => {
    const refused = model.run("Lily saw a big dog", { edits: [edit] });
    await expect(refused).rejects.toThrow(PointError);
    await expect(refused).rejects.toThrow(message);
  });

  it("where lists and sequences do not match", async () => {
    const refused = model.run(["a", "b"], { edits: [["L2.N3 = 0"], [], []] });
    await expect(refused).rejects.toThrow(RequestError);
    await expect(refused).rejects.toThrow("3 lists for 2 sequences");
  });

  it("for a recording that is too short, or has not the point", async () => {
    const [short, other] = [
      await model.run("Lily", { read: ["L2.mlp"] }),
      await model.run("Lily", { read: ["L1.mlp"] }),
    ];
    const run = (patch: Run) => model.run("Lily saw a big dog", { edits: [{ at: "L2.mlp", patch }] });
    await expect(run(short)).rejects.toThrow("the recording has positions 0 to");
    await expect(run(other)).rejects.toThrow("blocks.2.mlp.out must have been recorded");
  });

  it("result of a head at 0 is its z at 0", async () => {
    const [a, b] = [
      await model.run("Lily saw", { edits: ["L2.H3.result = 0"] }),
      await model.run("Lily saw", { edits: ["L2.H3 = 0"] }),
    ];
    expect(bits(a.logits)).toEqual(bits(b.logits));
  });
});
