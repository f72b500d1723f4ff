/** Configs of Gemma, Phi-3 and OLMo 2: old and new spellings, what is refused, sizes of published models, and GGUF's words. */

import { describe, expect, it } from "vitest";
import { ARCHITECTURES } from "../src/architectures/index.ts";
import { type GgufContents, ggufConfigReader } from "../src/config/gguf.ts";
import type { ModelConfig } from "../src/config/model-config.ts";
import { readConfig } from "../src/run/config.ts";
import { numel } from "../src/tensor/shape.ts";
import { namedWeights } from "../src/weights/schema.ts";

type Json = Readonly<Record<string, unknown>>;

const SIZES: Json = {
  vocab_size: 90,
  hidden_size: 24,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 28,
  max_position_embeddings: 64,
};
const GEMMA: Json = { ...SIZES, model_type: "gemma", head_dim: 8 };
const GEMMA2: Json = { ...GEMMA, model_type: "gemma2" };
const GEMMA3: Json = { ...GEMMA, model_type: "gemma3_text" };
const PHI3: Json = { ...SIZES, model_type: "phi3", hidden_size: 32 };
const OLMO2: Json = { ...SIZES, model_type: "olmo2" };

const read = (json: Json) => readConfig(JSON.parse(JSON.stringify(json)), "config.json");
const configOf = (json: Json) => read(json).config;

const SLIDING = "sliding_attention";
const FULL = "full_attention";
const FACTORS = { short_factor: [1, 1.5, 2], long_factor: [2, 3, 4.5] };

describe("the old and the new spelling of a config", () => {
  const linear = { rope_type: "linear", factor: 8 };
  const images = { vision_config: {}, mm_tokens_per_image: 256, boi_token_index: 1, image_token_index: 3 };
  const longrope = { ...PHI3, original_max_position_embeddings: 16, partial_rotary_factor: 0.75 };
  const inParameters = { original_max_position_embeddings: 16, partial_rotary_factor: 0.75, rope_theta: 1e4 };

  it.each<[string, Json, Json]>([
    [
      "gemma, where gelu is its tanh form",
      { ...GEMMA, hidden_act: "gelu", hidden_activation: null, rope_theta: 1e4, rope_scaling: null },
      { ...GEMMA, hidden_act: "gelu_pytorch_tanh", use_bidirectional_attention: null, rope_parameters: {} },
    ],
    [
      "gemma2",
      {
        ...{ ...GEMMA2, sliding_window: 16, rope_theta: 1e4 },
        // As in the 9B and 27B models, and as some versions of transformers wrote them again.
        ...{ sliding_window_size: 16, cache_implementation: "hybrid", _attn_implementation_autoset: true },
      },
      {
        ...GEMMA2,
        sliding_window: 16,
        layer_types: [SLIDING, FULL, SLIDING],
        attn_logit_softcapping: 50,
        final_logit_softcapping: 30,
        query_pre_attn_scalar: 256,
        tie_word_embeddings: true,
      },
    ],
    [
      "gemma3",
      {
        ...GEMMA3,
        rope_theta: 1e6,
        rope_local_base_freq: 1e4,
        rope_scaling: linear,
        sliding_window: 16,
        sliding_window_pattern: 2,
      },
      {
        ...GEMMA3,
        sliding_window: 16,
        layer_types: [SLIDING, FULL, SLIDING],
        rope_parameters: {
          full_attention: { ...linear, rope_theta: 1e6 },
          sliding_attention: { rope_type: "default", rope_theta: 1e4 },
        },
      },
    ],
    [
      "phi3 with longrope",
      { ...longrope, rope_theta: 1e4, rope_scaling: { ...FACTORS, type: "su" } },
      {
        ...longrope,
        partial_rotary_factor: undefined,
        rope_parameters: { ...FACTORS, ...inParameters, rope_type: "longrope", type: "longrope" },
      },
    ],
    [
      "olmo2",
      { ...OLMO2, rope_theta: 5e5, rope_scaling: null, attention_bias: false },
      { ...OLMO2, rope_parameters: { rope_theta: 5e5, rope_type: "default" }, head_dim: 6 },
    ],
  ])("means the same: %s", (_, old, modern) => {
    expect(configOf(old)).toEqual(configOf(modern));
  });

  it("reads the text part of a Gemma 3 that takes images as it reads the text model", () => {
    const { model_type, ...text } = GEMMA3;
    const whole = { model_type: "gemma3", ...images, text_config: { ...text, model_type } };
    expect(configOf(whole)).toEqual({ ...configOf(GEMMA3), takesImages: true });
  });

  it("has transformers' defaults", () => {
    expect(configOf(GEMMA2)).toMatchObject({ windows: [4096, undefined, 4096], scoreSoftcap: 50, finalSoftcap: 30 });
    expect(configOf({ ...GEMMA2, attn_logit_softcapping: null, final_logit_softcapping: null })).toMatchObject({
      ...{ scoreScale: 1 / 16, scoreSoftcap: undefined, finalSoftcap: undefined },
    });
    expect(configOf({ ...GEMMA3, num_hidden_layers: 7 })).toMatchObject({
      windows: [4096, 4096, 4096, 4096, 4096, undefined, 4096],
      rope: { theta: 1e6, scaling: { type: "default" } },
      slidingRope: { theta: 1e4, scaling: { type: "default" } },
    });
    expect(configOf(PHI3)).toMatchObject({
      rotaryDim: 8,
      window: undefined,
      originalContextLength: 4096,
      normEps: 1e-5,
    });
  });
});

describe("a config", () => {
  it.each<[string, Json, RegExp]>([
    ["the exact GELU in gemma2", { ...GEMMA2, hidden_activation: "gelu" }, /hidden_activation: only gelu_pytorch_tanh/],
    [
      "another activation in gemma",
      { ...GEMMA, hidden_act: "relu" },
      /hidden_act: must be one of gelu_pytorch_tanh, gelu/,
    ],
    ["biases", { ...GEMMA3, attention_bias: true }, /attention_bias: only false is supported/],
    [
      "attention to later tokens",
      { ...GEMMA3, use_bidirectional_attention: true },
      /use_bidirectional_attention: only false/,
    ],
    ["two windows in gemma2", { ...GEMMA2, sliding_window_size: 16 }, /sliding_window_size: only 4096 is supported/],
    ["capped scores in gemma3", { ...GEMMA3, attn_logit_softcapping: 50 }, /attn_logit_softcapping: every key/],
    [
      "a cap of 0",
      { ...GEMMA2, final_logit_softcapping: 0 },
      /final_logit_softcapping: must be a positive number; got 0/,
    ],
    [
      "rotary parameters for layers of no kind in gemma3",
      { ...GEMMA3, rope_parameters: { rope_theta: 1e4 } },
      /rope_parameters: rope_theta: every key must be understood/,
    ],
    ["no text part", { model_type: "gemma3", vision_config: {} }, /text_config: must be an object; got nothing/],
    [
      "an unknown key of the text part",
      { model_type: "gemma3", text_config: { ...GEMMA3, tempo: 1 } },
      /config.json: text_config: tempo: every key must be understood/,
    ],
    [
      "more than a head that turns",
      { ...PHI3, partial_rotary_factor: 1.5 },
      /partial_rotary_factor: must be at most 1; got 1.5/,
    ],
    [
      "an odd number of dimensions that turn",
      { ...PHI3, partial_rotary_factor: 0.65 },
      /partial_rotary_factor: the part of a head that turns must have an even whole size up to 65536; got 5/,
    ],
    [
      "two original contexts",
      {
        ...PHI3,
        original_max_position_embeddings: 16,
        rope_parameters: { ...FACTORS, rope_type: "longrope", original_max_position_embeddings: 32 },
      },
      /rope_parameters: original_max_position_embeddings: only 16 is supported/,
    ],
    [
      "factors for whole heads where only a part turns",
      { ...PHI3, partial_rotary_factor: 0.5, rope_scaling: { ...FACTORS, type: "longrope" } },
      /short_factor: must be 2 positive numbers/,
    ],
    ["blocks that attend to less in phi3", { ...PHI3, full_attn_mod: 2 }, /full_attn_mod: only 1 is supported/],
    [
      "part of a head that turns in olmo2",
      { ...OLMO2, partial_rotary_factor: 0.5 },
      /partial_rotary_factor: every key/,
    ],
  ])("is refused: %s", (_, json, message) => {
    expect(() => read(json)).toThrow(message);
  });
});

describe("published models", () => {
  it.each<[string, number, Json]>([
    [
      "gemma-2b",
      2_506_172_416,
      {
        ...{ model_type: "gemma", vocab_size: 256_000, hidden_size: 2048, intermediate_size: 16_384, head_dim: 256 },
        ...{ num_hidden_layers: 18, num_attention_heads: 8, num_key_value_heads: 1, hidden_act: "gelu" },
      },
    ],
    [
      "gemma-2-2b",
      2_614_341_888,
      {
        ...{ model_type: "gemma2", vocab_size: 256_000, hidden_size: 2304, intermediate_size: 9216, head_dim: 256 },
        ...{ num_hidden_layers: 26, num_attention_heads: 8, num_key_value_heads: 4 },
      },
    ],
    [
      "gemma-3-1b",
      999_885_952,
      {
        ...{
          model_type: "gemma3_text",
          vocab_size: 262_144,
          hidden_size: 1152,
          intermediate_size: 6912,
          head_dim: 256,
        },
        ...{ num_hidden_layers: 26, num_attention_heads: 4, num_key_value_heads: 1 },
      },
    ],
    [
      "Phi-3-mini",
      3_821_079_552,
      {
        ...{ model_type: "phi3", vocab_size: 32_064, hidden_size: 3072, intermediate_size: 8192 },
        ...{ num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 32 },
      },
    ],
    [
      "Phi-4-mini",
      3_836_021_760,
      {
        ...{
          model_type: "phi3",
          vocab_size: 200_064,
          hidden_size: 3072,
          intermediate_size: 8192,
          tie_word_embeddings: true,
        },
        ...{ num_hidden_layers: 32, num_attention_heads: 24, num_key_value_heads: 8, partial_rotary_factor: 0.75 },
      },
    ],
    [
      "OLMo-2-1124-7B",
      7_298_617_344,
      {
        ...{ model_type: "olmo2", vocab_size: 100_352, hidden_size: 4096, intermediate_size: 11_008 },
        ...{ num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 32 },
      },
    ],
  ])("%s has %i parameters", (_, nParameters, json) => {
    const { architecture, config } = read(json);
    const specs = namedWeights(architecture.weights(config, () => true));
    expect([...specs.values()].reduce((sum, { shape }) => sum + numel(shape), 0)).toBe(nParameters);
  });
});

describe("the metadata of a GGUF file", () => {
  const SIZES_IN_GGUF = {
    block_count: 3,
    context_length: 64,
    embedding_length: 24,
    feed_forward_length: 28,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 8,
    "attention.layer_norm_rms_epsilon": 1e-6,
  };

  function fromGguf(name: string, own: object, further: Partial<GgufContents> = {}): ModelConfig {
    const { gguf, config } = ARCHITECTURES.find(({ gguf }) => gguf?.architecture === name)!;
    const values = Object.entries({ ...SIZES_IN_GGUF, ...own }).map(
      ([key, value]) => [`${name}.${key}`, { type: typeof value === "string" ? "string" : "f64", value }] as const,
    );
    const tensors = new Map([["token_embd.weight", { shape: [90, 24] }]]);
    const reader = ggufConfigReader(gguf!, { values: new Map(values), tensors, ...further }, "m.gguf");
    const found = config(reader, gguf!.modelType);
    reader.finish();
    return found;
  }

  it("leaves out what llama.cpp takes for granted", () => {
    expect(fromGguf("gemma", {})).toEqual(configOf(GEMMA));
    expect(fromGguf("gemma2", {})).toEqual(configOf({ ...GEMMA2, query_pre_attn_scalar: 8 }));
    expect(fromGguf("gemma3", { "rope.freq_base": 1e6, "attention.sliding_window": 16 })).toEqual(
      configOf({ ...GEMMA3, query_pre_attn_scalar: 8, sliding_window: 16 }),
    );
  });

  it("says how far rows see, what scores and logits are kept within, and how heads turn", () => {
    const gemma2 = { "attention.sliding_window": 16, attn_logit_softcapping: 20, final_logit_softcapping: 10 };
    expect(fromGguf("gemma2", gemma2)).toMatchObject({
      windows: [16, undefined, 16],
      scoreSoftcap: 20,
      finalSoftcap: 10,
    });
    const gemma3 = {
      "rope.freq_base": 1e5,
      "rope.freq_base_swa": 1e3,
      "rope.scaling.type": "linear",
      "rope.scaling.factor": 8,
      "attention.sliding_window": 16,
      "attention.sliding_window_pattern": 2,
    };
    expect(fromGguf("gemma3", gemma3)).toMatchObject({
      windows: [16, undefined, 16],
      rope: { theta: 1e5, scaling: { type: "linear", factor: 8 } },
      slidingRope: { theta: 1e3, scaling: { type: "default" } },
    });
  });

  it.each([
    ["gemma2", 46],
    ["gemma3", 62],
  ])("means another scale of scores in the 27B model of %s, known by its %i layers", (name, block_count) => {
    const own = { "rope.freq_base": 1e6, "attention.sliding_window": 16, block_count };
    expect(fromGguf(name, own)).toMatchObject({ scoreScale: 6 ** -0.5 });
    expect(fromGguf(name, { ...own, block_count: 3 })).toMatchObject({ scoreScale: 8 ** -0.5 });
  });

  it("has longrope's factors in tensors, and its part of a head, its window and its magnitude in keys", () => {
    const own = {
      "rope.dimension_count": 6,
      "rope.scaling.original_context_length": 16,
      "rope.scaling.attn_factor": 1.25,
      "attention.sliding_window": 0,
    };
    const longropeFactors = { short: FACTORS.short_factor, long: FACTORS.long_factor };
    const scaling = { ...FACTORS, type: "longrope", attention_factor: 1.25 };
    const json = { ...PHI3, hidden_size: 24, head_dim: 8, rms_norm_eps: 1e-6, partial_rotary_factor: 0.75 };
    const expected = configOf({
      ...{ ...json, original_max_position_embeddings: 16, rope_scaling: scaling, tie_word_embeddings: true },
    });
    expect(fromGguf("phi3", own, { longropeFactors })).toEqual(expected);
    expect(fromGguf("phi3", { ...own, "attention.sliding_window": 7 }, { longropeFactors })).toMatchObject({
      window: 7,
    });
    expect(() => fromGguf("phi3", { ...own, "rope.scaling.type": "yarn" }, { longropeFactors })).toThrow(
      /phi3.rope.scaling.type: every key must be understood/,
    );
  });
});
