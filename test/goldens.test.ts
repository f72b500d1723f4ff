/** The engine against Hugging Face transformers, on tiny models of every family. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ARCHITECTURES } from "../src/architectures/index.ts";
import { POINTS } from "../src/points/registry.ts";
import type { Model } from "../src/run/model.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { fixture, goldenNames, readTensors } from "./support/fixtures.ts";
import { compare, comparedPoints } from "./support/golden-keys.ts";
import { open } from "./support/open.ts";
import { deviation, stacked } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const supported = ARCHITECTURES.flatMap(({ modelTypes }) => modelTypes);
const modelType = (directory: string): string =>
  JSON.parse(readFileSync(`${directory}/config.json`, "utf8")).model_type;

/** Further goldens of the same form, in a directory outside the repository. */
const { GOLGI_GOLDENS: elsewhere } = process.env;
const furtherNames = elsewhere === undefined ? [] : readdirSync(elsewhere);
const further = furtherNames
  .map((name) => [`${name} in GOLGI_GOLDENS`, `${elsewhere}/${name}`])
  .filter(([, path]) => existsSync(`${path}/config.json`) && supported.includes(modelType(path)));

const cases = [...goldenNames.map((name) => [name, fixture(`goldens/${name}`)]), ...further];

describe.each(cases)("%s", (_, directory) => {
  let model: Model;
  let expected: Map<string, Tensor>;
  let tokens: number[];
  let logits: Tensor;

  beforeAll(async () => {
    model = await open(directory);
    expected = await readTensors(`${directory}/expected.safetensors`);
    tokens = [...(expected.get("tokens") as Tensor).data];
    logits = expected.get("logits") as Tensor;
  });
  afterAll(() => model.close());

  it("agrees with transformers in the logits and in every internal value", async () => {
    const run = await model.run(tokens, { read: ["**"] });
    const compared = compare(run, model.config.nLayers, expected);
    const wrong = compared
      .map(({ key, points, actual, expected }) => ({ key, points, deviation: deviation(actual, expected) }))
      .filter(({ deviation }) => deviation > TOLERANCE.official);
    expect(wrong).toEqual([]);
  });

  it.each([1, 5])("agrees with transformers when tokens come in steps of %i", async (stepSize) => {
    // As long as the text, since longrope chooses its frequencies by that.
    const session = model.session({ contextLength: tokens.length });
    const parts: Tensor[] = [];
    for (let at = 0; at < tokens.length; at += stepSize) {
      parts.push((await session.append(tokens.slice(at, at + stepSize))).logits);
    }
    session.close();
    expect(deviation(stacked(parts), logits)).toBeLessThanOrEqual(TOLERANCE.official);
  });

  it("agrees with transformers when it computes in float64", async () => {
    const precise = await open(directory, { precision: "f64" });
    const run = await precise.run(tokens);
    await precise.close();
    expect(run.logits.data).toBeInstanceOf(Float64Array);
    expect(deviation(run.logits, logits)).toBeLessThanOrEqual(TOLERANCE.official);
  });
});

describe("the goldens", () => {
  it("cover every model type that is supported, but minGPT and Kimi K2, which transformers does not have", () => {
    const covered = new Set(goldenNames.map((name) => modelType(fixture(`goldens/${name}`))));
    expect(supported.filter((type) => !covered.has(type))).toEqual(["mingpt", "kimi_k2"]);
  });

  const inLayer = (name: string): string => `blocks.{i}.${name}`;

  /** Points that transformers' modules do not give, and where else they are held to something. */
  const heldElsewhere: Readonly<Record<string, string>> = {
    posEmbed: "minGPT's pos_emb",
    "blocks.{i}.attn.scores": "minGPT's att, and scale · rotQ · rotK",
    "blocks.{i}.attn.result": "Σ over heads + bias = attn.out",
    logitsBeforeSoftcap: "lnFinal.out · unembed",
    probs: "minGPT's probs, and softmax of logits",
    "blocks.{i}.experts.contribution": "router.weights · experts.out: moe.test.ts",
    "blocks.{i}.attn.kRope": "what kv_a_proj_with_mqa gives, turned: latent-attention.test.ts",
    ...Object.fromEntries(
      ["scores", "biasedScores", "groupScores", "groupMask", "limitedScores"].map((part) => [
        `blocks.{i}.router.${part}`,
        "deepseek.test.ts",
      ]),
    ),
    ...Object.fromEntries(
      ["qLatentNorm", "kvLatentNorm"].flatMap((norm) =>
        ["scale", "normalized"].map((part) => [`blocks.{i}.attn.${norm}.${part}`, "latent-attention.test.ts"]),
      ),
    ),
    ...Object.fromEntries(
      [...["ln1", "attn.qNorm", "attn.kNorm", "ln1Post", "ln2", "ln2Post"].map(inLayer), "lnFinal"].flatMap((norm) =>
        [`${norm}.scale`, `${norm}.normalized`].map((point) => [point, "normalized = (x − mean) / scale"]),
      ),
    ),
  };

  it("leave no point unchecked that is not checked elsewhere", async () => {
    const expected = await Promise.all(
      goldenNames.map((name) => readTensors(fixture(`goldens/${name}/expected.safetensors`))),
    );
    const compared = new Set(expected.flatMap((tensors) => comparedPoints([...tensors.keys()])));
    const unchecked = POINTS.map(({ name }) => name).filter((name) => !compared.has(name));
    expect(unchecked.toSorted()).toEqual(Object.keys(heldElsewhere).toSorted());
  });
});
