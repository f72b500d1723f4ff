/** Edits in generation and sessions, by functions of the caller, and what is refused. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PointError, RequestError } from "../src/errors.ts";
import type { EditSpec } from "../src/glass/edit-spec.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { deviation } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const bits = ({ data }: Tensor): Int32Array => new Int32Array(data.slice().buffer);

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
    const count = ({ edited }: typeof session) => edited.reduce((sum, { nRows }) => sum + nRows, 0);
    let chosen = -1;
    for await (const { token } of session.generate(prompt, { maxTokens: 4 })) chosen = token;
    expect(count(session)).toBe(3);
    // The fourth token was generated too, and is run only now, as the first of what follows; also by a fork.
    const fork = await session.fork();
    await fork.append([chosen, 6]);
    expect(count(fork)).toBe(1);
    for await (const _ of session.generate([chosen, 6], { maxTokens: 3 }));
    expect(count(session)).toBe(3 + 1 + 2);
    await session.truncate(model.encode(prompt).length);
    await session.append([chosen]);
    expect(count(session)).toBe(6);
    const refused = fork.generate("x", { edits: [] } as never).next();
    await expect(refused).rejects.toThrow("edits are the session's own");
    fork.close();
    session.close();
  });

  it("count a token that was chosen but failed to run once it runs", async () => {
    const session = model.session({ edits: ["L3.residPost += 2 @generated"] });
    await session.append(model.encode(prompt));
    session.chose(5);
    const aborted = AbortSignal.abort(new Error("not now"));
    await expect(session.append([5], { signal: aborted })).rejects.toThrow("not now");
    expect((await session.append([5])).edited[0].nRows).toBe(1);
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
    [
      "of a derived point, unless its source does the same",
      { at: "L2.H3.result", add: 1 },
      "otherwise edit attn.z or attn.out",
    ],
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
