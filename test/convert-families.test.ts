/** Conversions of families whose metadata or tensors are their own: the same numbers from GGUF, and back again. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { encodeSafetensors } from "../src/checkpoint/write-safetensors.ts";
import { type ModelFiles, openModel, reference } from "../src/index.ts";
import { MemoryFolder, utf8 } from "./checkpoint-files.ts";
import { contents, ggufOf, toFolder, toGguf, weightsOf } from "./support/conversions.ts";
import { fixture, goldenTokens, readTensors } from "./support/fixtures.ts";
import { deviation } from "./support/tensors.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

const configOf = (name: string) => JSON.parse(readFileSync(fixture(`goldens/${name}/config.json`), "utf8"));

/** A golden with these keys in its config. */
async function goldenWith(name: string, keys: object = {}): Promise<ModelFiles> {
  const tensors = await readTensors(fixture(`goldens/${name}/model.safetensors`));
  const files = {
    "config.json": utf8(JSON.stringify({ ...configOf(name), ...keys })),
    "model.safetensors": encodeSafetensors(
      Array.from(tensors, ([tensor, { shape, data }]) => ({ name: tensor, shape, data: Float32Array.from(data) })),
    ),
  };
  return { folder: new MemoryFolder(files) };
}

async function logitsOf(files: ModelFiles, name: string) {
  const model = await openModel(files, host, [reference]);
  const run = await model.run(await goldenTokens(name), { logits: "all" }).finally(() => model.close());
  return run.logits;
}

/** GGUF has no key for the number that scores are scaled by: 1/√headDim in all models but the largest. */
const OF_HEAD = { query_pre_attn_scalar: 8 };

const CASES: readonly (readonly [name: string, keys: object, metadata: object])[] = [
  ["gemma", {}, { "gemma.attention.head_count_kv": 1 }],
  [
    "gemma2",
    OF_HEAD,
    {
      "gemma2.attention.sliding_window": 6,
      "gemma2.attn_logit_softcapping": 2.5,
      "gemma2.final_logit_softcapping": 9,
    },
  ],
  [
    "gemma3",
    OF_HEAD,
    {
      "gemma3.attention.sliding_window": 7,
      "gemma3.attention.sliding_window_pattern": 3,
      "gemma3.rope.freq_base": 1000,
      "gemma3.rope.freq_base_swa": 100,
      "gemma3.rope.scaling.type": "linear",
      "gemma3.rope.scaling.factor": 4,
    },
  ],
  ["phi3", {}, { "phi3.attention.sliding_window": 7, "phi3.rope.dimension_count": 6 }],
  [
    "phi3-longrope-long",
    {},
    {
      "phi3.attention.sliding_window": 0,
      "phi3.rope.dimension_count": 6,
      "phi3.rope.scaling.original_context_length": 16,
    },
  ],
  ["olmo2", {}, { "olmo2.attention.head_count_kv": 2 }],
];

describe.each(CASES)("%s", (name, keys, metadata) => {
  it("becomes metadata that llama.cpp knows", async () => {
    const { values } = await ggufOf(await goldenWith(name, keys));
    const plain = Array.from(values, ([key, { value }]) => [key, value]);
    expect(Object.fromEntries(plain)).toMatchObject(metadata);
  });

  it("gives the same logits as GGUF, and as the folder that this becomes", async () => {
    const before = await logitsOf(await goldenWith(name, keys), name);
    const gguf = await toGguf(await goldenWith(name, keys));
    // Factors of rotary frequencies are float32 in a file, and gains are stored less 1 in one format only.
    expect(deviation(await logitsOf(gguf, name), before)).toBeLessThanOrEqual(1e-4);
    expect(deviation(await logitsOf(await toFolder(gguf), name), before)).toBeLessThanOrEqual(1e-4);
  });

  it("comes back bit for bit from a folder, but for gains that are stored less 1 there", async () => {
    const gguf = await toGguf(await goldenWith(name, keys));
    const [once, twice] = [await contents(await ggufOf(gguf)), await contents(await ggufOf(await toFolder(gguf)))];
    const isExact = ([tensor]: readonly [string, unknown]) => !(name.startsWith("gemma") && tensor.includes("norm"));
    expect([...twice].filter(isExact)).toEqual([...once].filter(isExact));
    expect([...twice.keys()]).toEqual([...once.keys()]);
  });
});

describe("a model that GGUF cannot say", () => {
  it.each([
    ["gemma2", {}, /convert: scoreScale: GGUF must be able to say what the model computes/],
    [
      "gemma2",
      { ...OF_HEAD, final_logit_softcapping: null },
      /convert: finalSoftcap: .* it would mean finalSoftcap 30/,
    ],
    [
      "gemma3",
      { ...OF_HEAD, layer_types: ["full_attention", "sliding_attention", "sliding_attention"] },
      /convert: windows: /,
    ],
  ])("is refused: %s with %j", async (name, keys, message) => {
    await expect(goldenWith(name, keys).then((files) => toGguf(files))).rejects.toThrow(message);
  });
});

it("the text of a model that takes images becomes a GGUF file like any other, and keeps its names in a folder", async () => {
  const name = "gemma3-with-images";
  const { text_config } = configOf(name);
  const golden = await goldenWith(name, { text_config: { ...text_config, ...OF_HEAD } });
  const before = await logitsOf(golden, name);
  expect(deviation(await logitsOf(await toGguf(golden), name), before)).toBeLessThanOrEqual(1e-4);
  const folder = await toFolder(golden);
  expect(deviation(await logitsOf(folder, name), before)).toBe(0);
  const tensors = [...(await weightsOf(folder)).keys()];
  expect(tensors.every((tensor) => tensor.startsWith("language_model.model."))).toBe(true);
});
