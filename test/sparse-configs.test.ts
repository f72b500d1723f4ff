/** Configs of families with experts, as their publishers and transformers write them. */

import { describe, expect, it } from "vitest";
import { ConfigError } from "../src/errors.ts";
import { readConfig } from "../src/run/config.ts";

type Json = Readonly<Record<string, unknown>>;

/** Keys that an undefined value takes away. */
const read = (json: Json) => readConfig(JSON.parse(JSON.stringify(json)), "config.json").config;

const SIZES: Json = {
  vocab_size: 90,
  hidden_size: 24,
  num_hidden_layers: 4,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  intermediate_size: 28,
  max_position_embeddings: 64,
  num_experts_per_tok: 3,
};
const MIXTRAL: Json = { ...SIZES, model_type: "mixtral", num_local_experts: 5 };
const OLMOE: Json = { ...SIZES, model_type: "olmoe", num_experts: 5 };
const QWEN3: Json = { ...SIZES, model_type: "qwen3_moe", num_experts: 5, moe_intermediate_size: 10 };
const QWEN2: Json = { ...QWEN3, model_type: "qwen2_moe", shared_expert_intermediate_size: 12 };
const GPT_OSS: Json = {
  ...SIZES,
  model_type: "gpt_oss",
  num_local_experts: 5,
  rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16, truncate: false },
};

describe("experts", () => {
  it("are counted and sized by the family's own keys", () => {
    const each = { nExperts: 5, nExpertsPerToken: 3, dShared: 0, layers: Array(4).fill(true) };
    for (const json of [MIXTRAL, OLMOE, GPT_OSS]) expect(read(json).sparse).toEqual({ ...each, dExpert: 28 });
    expect(read(QWEN3).sparse).toEqual({ ...each, dExpert: 10 });
    expect(read(QWEN2).sparse).toEqual({ ...each, dExpert: 10, dShared: 12 });
  });

  it("go by either name of their number", () => {
    for (const json of [OLMOE, QWEN3]) {
      expect(read({ ...json, num_experts: undefined, num_local_experts: 5 })).toEqual(read(json));
      expect(read({ ...json, num_local_experts: 5 })).toEqual(read(json));
      expect(() => read({ ...json, num_local_experts: 6 })).toThrow(
        "config.json: num_experts: must be num_local_experts, which is another name of it; got 5 and 6.",
      );
    }
  });

  it("may be without what only training needs", () => {
    const training = { router_aux_loss_coef: 0.02, output_router_logits: false, router_jitter_noise: 0.1 };
    for (const json of [MIXTRAL, OLMOE, QWEN2, QWEN3, GPT_OSS])
      expect(read({ ...json, ...training })).toEqual(read(json));
  });
});

it("Qwen3 with experts may say what it computes anyway, as Qwen3-Coder does", () => {
  const coder = { qkv_bias: false, use_qk_norm: true, shared_expert_intermediate_size: 0 };
  expect(read({ ...QWEN3, ...coder })).toEqual(read(QWEN3));
});

describe("sparse layers of the Qwen families", () => {
  it.each<[Json, number[]]>([
    [{}, [0, 1, 2, 3]],
    [{ decoder_sparse_step: 2 }, [1, 3]],
    [{ mlp_only_layers: [0, 2] }, [1, 3]],
    [{ decoder_sparse_step: 2, mlp_only_layers: [3] }, [1]],
    [{ mlp_only_layers: null }, [0, 1, 2, 3]],
  ])("follow from %j", (keys, expected) => {
    for (const json of [QWEN2, QWEN3]) {
      const { layers } = read({ ...json, ...keys }).sparse!;
      expect([...layers.keys()].filter((layer) => layers[layer])).toEqual(expected);
    }
  });
});

describe("sliding windows", () => {
  const on = { use_sliding_window: true, sliding_window: 8 };

  it.each<[string, Json, unknown]>([
    [
      "Qwen2-MoE: off, as published",
      { ...QWEN2, sliding_window: 32768, max_window_layers: 21 },
      Array(4).fill(undefined),
    ],
    ["Qwen2-MoE: off, as transformers writes it", { ...QWEN2, sliding_window: 0 }, Array(4).fill(undefined)],
    ["Qwen2-MoE: every other layer", { ...QWEN2, ...on }, [8, undefined, 8, undefined]],
    ["Qwen2-MoE: up to a layer", { ...QWEN2, ...on, max_window_layers: 2 }, [8, undefined, undefined, undefined]],
    [
      "Qwen2-MoE: layer by layer",
      {
        ...QWEN2,
        ...on,
        layer_types: [..."ffsf"].map((kind) => (kind === "f" ? "full_attention" : "sliding_attention")),
      },
      [undefined, undefined, 8, undefined],
    ],
    ["gpt-oss: every other layer", { ...GPT_OSS, sliding_window: 8 }, [8, undefined, 8, undefined]],
    ["gpt-oss: of its own size", GPT_OSS, [128, undefined, 128, undefined]],
  ])("%s", (_, json, windows) => {
    expect(read(json)).toMatchObject({ windows });
  });

  it("hold for all layers of Qwen3 with experts, and of Mixtral", () => {
    expect(read({ ...QWEN3, ...on, max_window_layers: 4 })).toMatchObject({ window: 8 });
    expect(read({ ...QWEN3, sliding_window: 8 })).toMatchObject({ window: undefined });
    expect(read({ ...MIXTRAL, sliding_window: 8 })).toMatchObject({ window: 8 });
    expect(read({ ...MIXTRAL, sliding_window: null })).toMatchObject({ window: undefined });
  });
});

describe("gpt-oss", () => {
  it("is read as published", () => {
    const published = {
      ...GPT_OSS,
      attention_bias: true,
      experts_per_token: 3,
      initial_context_length: 16,
      rope_theta: 150000,
      swiglu_limit: 7.0,
      quantization_config: { quant_method: "mxfp4", modules_to_not_convert: ["lm_head"] },
    };
    expect(read(published)).toEqual(read(GPT_OSS));
    expect(read(published)).toMatchObject({
      headDim: 64,
      swiglu: { limit: 7, alpha: 1.702 },
      rope: { theta: 150_000 },
    });
  });

  it("takes the numbers of its activation from the config", () => {
    expect(read({ ...GPT_OSS, swiglu_limit: 3, swiglu_alpha: 1.5 })).toMatchObject({
      swiglu: { limit: 3, alpha: 1.5 },
    });
  });
});

describe("a config with experts is refused", () => {
  it.each<[string, Json, RegExp]>([
    [
      "no number of experts",
      { ...OLMOE, num_experts: undefined },
      /num_experts: must be a positive integer; got nothing/,
    ],
    ["more experts for a token than there are", { ...MIXTRAL, num_experts_per_tok: 6 }, /no more experts.* got 6 of 5/],
    ["more experts than memory", { ...QWEN3, num_experts: 1e9 }, /all layers have at most 131072; got 3 of 1000000000/],
    ["layers that are none", { ...QWEN2, mlp_only_layers: [1.5] }, /mlp_only_layers: must be a list of layers/],
    ["a text of layers", { ...QWEN2, mlp_only_layers: "1" }, /mlp_only_layers: must be a list of layers; got "1"/],
    ["a shared expert in Qwen3", { ...QWEN3, shared_expert_intermediate_size: 8 }, /intermediate_size: only 0 is/],
    ["heads without norms in Qwen3", { ...QWEN3, use_qk_norm: false }, /use_qk_norm: only true is supported/],
    ["clipped queries and keys", { ...OLMOE, clip_qkv: 8 }, /clip_qkv: must be null.* got 8/],
    ["heads of another size in OLMoE", { ...OLMOE, head_dim: 8 }, /head_dim: only 4 is supported/],
    ["gpt-oss without its rope scaling", { ...GPT_OSS, rope_scaling: null }, /rope_scaling: must be set/],
    ["another quantisation", { ...GPT_OSS, quantization_config: { quant_method: "bnb" } }, /quant_method: only mxfp4/],
    [
      "a quantisation with unknown keys",
      { ...GPT_OSS, quantization_config: { quant_method: "mxfp4", block: 16 } },
      /quantization_config: block: every key must be understood/,
    ],
    [
      "two numbers of experts for a token",
      { ...GPT_OSS, experts_per_token: 4 },
      /experts_per_token: only 3 is supported/,
    ],
    [
      "a sliding layer without a window",
      { ...GPT_OSS, sliding_window: null, layer_types: Array(4).fill("sliding_attention") },
      /layer_types: a layer of type sliding_attention needs a sliding_window/,
    ],
  ])("for %s", (_, json, message) => {
    expect(() => read(json)).toThrow(ConfigError);
    expect(() => read(json)).toThrow(message);
  });
});
