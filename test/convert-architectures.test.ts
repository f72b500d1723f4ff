/** Every architecture that GGUF has a form of: the same numbers from what is written, and what llama.cpp must find in it. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { locateModel } from "../node/model-files.ts";
import { ARCHITECTURES } from "../src/architectures/index.ts";
import type { Json } from "../src/config/reader.ts";
import { type ModelFiles, openModel, reference } from "../src/index.ts";
import { MemoryFolder, utf8 } from "./checkpoint-files.ts";
import {
  contents,
  converted,
  ggufOf,
  golden,
  type Options,
  openGgufBytes,
  toFolder,
  toGguf,
} from "./support/conversions.ts";
import { RANDOM_MODELS, randomModel } from "./support/random-models.ts";
import { sameBits } from "./support/tensors.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

const TOKENS = Array.from({ length: 24 }, (_, i) => (37 * i + 5) % 96);

/** A random model, with these keys in its config.json. */
function modelOf(name: string, keys: Json = {}): ModelFiles {
  return { folder: new MemoryFolder(randomModel({ ...RANDOM_MODELS[name], ...keys })) };
}

async function logitsOf(files: ModelFiles) {
  const model = await openModel(files, host, [reference]);
  return (await model.run(TOKENS, { logits: "all" }).finally(() => model.close())).logits;
}

const inGguf = ARCHITECTURES.filter(({ gguf }) => gguf !== undefined).map(({ name }) => name);

it("there is a model of each architecture", () => {
  expect(Object.keys(RANDOM_MODELS).toSorted()).toEqual(inGguf.toSorted());
});

describe.each(inGguf)("%s", (name) => {
  it("gives the same bits from GGUF, and from the folder that this becomes", async () => {
    const before = await logitsOf(modelOf(name));
    const gguf = await toGguf(modelOf(name));
    expect(sameBits(await logitsOf(gguf), before)).toBe(true);
    expect(sameBits(await logitsOf(await toFolder(gguf)), before)).toBe(true);
  });

  it("says the same about itself, and has the same tensors, when it comes back from a folder", async () => {
    const gguf = await toGguf(modelOf(name));
    const [once, twice] = [await ggufOf(gguf), await ggufOf(await toFolder(gguf))];
    const about = (values: typeof once.values) => [...values].filter(([key]) => !key.startsWith("tokenizer."));
    expect(new Map(about(twice.values))).toEqual(new Map(about(once.values)));
    const shapes = (file: typeof once) => Array.from(file.tensors.values(), ({ name, shape }) => [name, shape]);
    expect(shapes(twice)).toEqual(shapes(once));
  });

  it("has vectors, routers and biases in f32 where matrices are q8_0", async () => {
    const { tensors } = await ggufOf(modelOf(name), { type: "q8_0" });
    const isSmall = /norm\.weight$|\.bias$|attn_sinks\.weight$|ffn_gate_inp(_shexp)?\.weight$|^position_embd/;
    for (const { name: tensor, dtype } of tensors.values()) {
      expect(dtype, tensor).toBe(isSmall.test(tensor) ? "f32" : "q8_0");
    }
  });
});

it.each([
  [
    "deepseek-v3",
    {
      "deepseek2.attention.head_count_kv": ["u32", 1],
      "deepseek2.attention.q_lora_rank": ["u32", 32],
      "deepseek2.attention.kv_lora_rank": ["u32", 32],
      "deepseek2.attention.key_length": ["u32", 48],
      "deepseek2.attention.value_length": ["u32", 32],
      "deepseek2.attention.key_length_mla": ["u32", 48],
      "deepseek2.attention.value_length_mla": ["u32", 32],
      "deepseek2.rope.dimension_count": ["u32", 16],
      "deepseek2.rope.scaling.type": ["string", "yarn"],
      "deepseek2.rope.scaling.yarn_log_multiplier": ["f32", Math.fround(0.1)],
      "deepseek2.leading_dense_block_count": ["u32", 1],
      "deepseek2.expert_count": ["u32", 16],
      "deepseek2.expert_used_count": ["u32", 3],
      "deepseek2.expert_shared_count": ["u32", 2],
      "deepseek2.expert_feed_forward_length": ["u32", 32],
      "deepseek2.expert_group_count": ["u32", 4],
      "deepseek2.expert_group_used_count": ["u32", 2],
      "deepseek2.expert_gating_func": ["u32", 2],
      "deepseek2.expert_weights_norm": ["bool", true],
      "deepseek2.expert_weights_scale": ["f32", 2.5],
    },
  ],
  [
    "deepseek-v2",
    {
      "deepseek2.expert_gating_func": ["u32", 1],
      "deepseek2.expert_group_count": ["u32", 1],
      "deepseek2.expert_weights_scale": ["f32", 1],
    },
  ],
  ["mixtral", { "llama.expert_count": ["u32", 8], "llama.expert_used_count": ["u32", 2] }],
  ["olmoe", { "olmoe.expert_count": ["u32", 8], "olmoe.feed_forward_length": ["u32", 32] }],
  [
    "qwen2-moe",
    {
      "qwen2moe.expert_feed_forward_length": ["u32", 32],
      "qwen2moe.expert_shared_feed_forward_length": ["u32", 64],
    },
  ],
] as const)("the metadata of %s", async (name, expected) => {
  const { values, tensors } = await ggufOf(modelOf(name));
  const found = Object.keys(expected).map((key) => [key, [values.get(key)?.type, values.get(key)?.value]]);
  expect(Object.fromEntries(found)).toEqual(expected);
  // The gate of a shared expert is a vector, as llama.cpp has it.
  if (name === "qwen2-moe") expect(tensors.get("blk.0.ffn_gate_inp_shexp.weight")?.shape).toEqual([64]);
});

describe("what llama.cpp cannot compute is refused by name", () => {
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16 };
  it.each<[string, Json, string]>([
    ["qwen3", { attention_bias: true }, "blocks.0.attn.bQ: GGUF must have a name for every weight"],
    ["qwen3-moe", { attention_bias: true }, "blocks.0.attn.bQ: GGUF must have a name for every weight"],
    ["deepseek-v3", { attention_bias: true }, "blocks.0.attn.bQLatent: GGUF must have a name for every weight"],
    ["qwen3-moe", { norm_topk_prob: false }, "normTopK"],
    ["qwen3-moe", { decoder_sparse_step: 2 }, "sparse"],
    ["qwen2-moe", { norm_topk_prob: true }, "normTopK"],
    ["olmoe", { num_key_value_heads: 2 }, "blocks.0.attn.kNorm.gain: GGUF must have a name for every weight"],
    ["mixtral", { sliding_window: 8 }, "window"],
    ["gpt-oss", { swiglu_limit: 5 }, "swiglu"],
    ["gpt-oss", { attention_bias: false }, "attentionBias"],
    ["deepseek-v3", { rope_interleave: false }, "ropePairing"],
    ["deepseek-v3", { moe_layer_freq: 2, num_hidden_layers: 4 }, "sparse"],
    ["deepseek-v3", { rope_scaling: yarn }, "rope"],
    ["deepseek-v3", { rope_scaling: { ...yarn, mscale: 1, mscale_all_dim: 0.5 } }, "rope"],
  ])("%s with %j", async (name, keys, fields) => {
    const written = converted(modelOf(name, keys)).then(({ nTensors }) => nTensors);
    await expect(written).rejects.toThrow(`convert: ${fields}`);
  });
});

describe("a folder's config.json", () => {
  const textOf = async (files: ModelFiles, options: Options = {}) => {
    const { files: written } = await converted(files, { format: "safetensors", ...options });
    return new TextDecoder().decode(written["config.json"]);
  };

  it("keeps floats floats, which transformers does not take as integers", async () => {
    const files = randomModel(RANDOM_MODELS.mixtral);
    const before = new TextDecoder().decode(files["config.json"]);
    const config = utf8(before.replace("{", '{"router_jitter_noise":0.0,"rope_theta":1e4,"attention_dropout":0,'));
    const text = await textOf({ folder: new MemoryFolder({ ...files, "config.json": config }) });
    expect(text).toContain('"router_jitter_noise": 0.0,');
    expect(text).toContain('"rope_theta": 1e4,');
    expect(text).toContain('"attention_dropout": 0,');
  });

  it("has floats where GGUF has whole numbers of them", async () => {
    const text = await textOf(await toGguf(modelOf("deepseek-v2")));
    expect(text).toContain('"routed_scaling_factor": 1.0,');
    expect(text).toContain('"rope_theta": 10000.0,');
    expect(text).toContain('"n_group": 1,');
  });

  it("says nothing of blocks, which no folder has", async () => {
    const mxfp4 = await golden("gpt-oss-mxfp4");
    expect(await textOf(mxfp4)).not.toContain("quantization_config");
  });
});

it("what is left out is said", async () => {
  const { notes } = await converted(await golden("gemma3-with-images"), { format: "safetensors" });
  expect(notes[0]).toMatch(/^multi_modal_projector.* and 1 more left out: for images, which golgi does not read$/);
});

const { GOLGI_GGUF: elsewhere } = process.env;
if (elsewhere !== undefined) {
  const files = readdirSync(elsewhere).filter((file) => file.endsWith(".Q8_0.gguf"));

  it.each(files)("%s through a folder says all that llama.cpp's converter said", async (file) => {
    const theirs = await openGgufBytes(new Uint8Array(readFileSync(`${elsewhere}/${file}`)));
    const folder = await toFolder(await locateModel(`${elsewhere}/${file}`));
    const ours = await ggufOf(folder, { type: "q8_0" });
    const said = [...theirs.values].filter(([key]) => key !== "general.size_label");
    expect(Object.fromEntries(ours.values)).toMatchObject(Object.fromEntries(said));
    const [found, expected] = [await contents(ours), await contents(theirs)];
    // The factors of llama3's frequencies are worked out anew.
    for (const tensors of [found, expected]) tensors.delete("rope_freqs.weight");
    expect(found).toEqual(expected);
  });
}
