/** The engine against what others published for real models: texts, and every intermediate value of a small one. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Model } from "../node/index.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { fixture, readTensors, stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { deviation, headsFirst, sideBySide } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

async function continuation(model: Model, prompt: readonly number[], maxTokens: number) {
  const ids: number[] = [];
  let text = "";
  for await (const step of model.generate(prompt, { maxTokens })) {
    ids.push(step.token);
    text += step.text;
  }
  return { ids, text };
}

describe("stories260K", () => {
  it("tells the story that llama2.c tells", async () => {
    const model = await open(stories260K);
    const { text } = await continuation(model, model.tokenizer.encode(""), 256);
    await model.close();
    expect(text).toBe(readFileSync(fixture("stories260K/llama2c.txt"), "utf8"));
  });
});

/** A directory with TinyStories-656K and its `greedy.numpy_f32.json`, which is too large for the repository. */
const { GOLGI_TINYSTORIES: tinyStories } = process.env;
const greedy = [
  ["stories260K", stories260K, fixture("stories260K/greedy.json")],
  ...(tinyStories === undefined ? [] : [["TinyStories-656K", tinyStories, `${tinyStories}/greedy.numpy_f32.json`]]),
];

describe.each(greedy)("%s", (_, directory, file) => {
  it("chooses the tokens that a NumPy implementation chooses", async () => {
    const expected = JSON.parse(readFileSync(file, "utf8"));
    const model = await open(directory);
    const { ids, text } = await continuation(model, expected.prompt_ids, expected.ids.length);
    await model.close();
    expect(ids).toEqual(expected.ids);
    expect(text).toBe(expected.text);
  });
});

describe("gpt-nano-sort", () => {
  const inBlock0 = (point: string): string => `blocks.0.${point}`;
  const same = (point: string) => (get: (point: string) => Tensor) => get(point);

  /** What minGPT's authors call each value, of one sequence. */
  const counterparts: Readonly<Record<string, (get: (point: string) => Tensor) => Tensor>> = {
    tok_emb: same("embed"),
    x: same(inBlock0("residPre")),
    ln1: same(inBlock0("ln1.out")),
    qkv: (get) => sideBySide(["q", "k", "v"].map((part) => get(inBlock0(`attn.${part}`)))),
    q: (get) => headsFirst(get(inBlock0("attn.q"))),
    k: (get) => headsFirst(get(inBlock0("attn.k"))),
    v: (get) => headsFirst(get(inBlock0("attn.v"))),
    att: same(inBlock0("attn.scores")),
    attSm: same(inBlock0("attn.pattern")),
    y: same(inBlock0("attn.z")),
    yProj: same(inBlock0("attn.out")),
    attnResid: same(inBlock0("residMid")),
    ln2: same(inBlock0("ln2.out")),
    fc: same(inBlock0("mlp.pre")),
    gelu: same(inBlock0("mlp.post")),
    mlp: same(inBlock0("mlp.out")),
    mlpResid: same(inBlock0("residPost")),
    block0: same(inBlock0("residPost")),
    block1: same("blocks.1.residPost"),
    block2: same("blocks.2.residPost"),
    ln_f: same("lnFinal.out"),
    lm_head: same("logits"),
    probs: same("probs"),
  };

  it("computes every intermediate value that was published, for a batch of three sequences", async () => {
    const expected = await readTensors(fixture("gpt-nano-sort/expected.safetensors"));
    const { idx, pos_emb, ...values } = Object.fromEntries(expected);
    expect(Object.keys(values).toSorted()).toEqual(Object.keys(counterparts).toSorted());

    const sequences = [0, 1, 2].map((i) => [...idx.row(i).data]);
    const model = await open(fixture("gpt-nano-sort"));
    const run = await model.run(sequences, { read: ["**"] });
    await model.close();
    const deviations = sequences.flatMap((_, sequence) => {
      const get = (point: string): Tensor => run.get(point, { sequence });
      return [
        ["pos_emb", deviation(get("posEmbed"), pos_emb.row(0))] as const,
        ...Object.entries(values).map(
          ([name, value]) => [name, deviation(counterparts[name](get), value.row(sequence))] as const,
        ),
      ];
    });
    expect(deviations.filter(([, deviation]) => deviation > TOLERANCE.published)).toEqual([]);
  });
});
