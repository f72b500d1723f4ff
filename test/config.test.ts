import { describe, expect, it } from "vitest";
import { ARCHITECTURES } from "../src/architectures/index.ts";
import type { ModelConfig } from "../src/config/model-config.ts";
import { ConfigError } from "../src/errors.ts";
import { readConfig } from "../src/run/config.ts";
import { numel } from "../src/tensor/shape.ts";
import { namedWeights } from "../src/weights/schema.ts";

type Json = Readonly<Record<string, unknown>>;

/** A small config that each test changes in one place; an undefined value takes the key away. */
const LLAMA: Json = {
  model_type: "llama",
  vocab_size: 90,
  hidden_size: 24,
  num_hidden_layers: 3,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  intermediate_size: 28,
  max_position_embeddings: 64,
};
const QWEN2: Json = { ...LLAMA, model_type: "qwen2" };
const GPT2: Json = { model_type: "gpt2", vocab_size: 90, n_embd: 24, n_layer: 2, n_head: 4, n_positions: 40 };

function read(json: Json, ignore: readonly string[] = []) {
  return readConfig(JSON.parse(JSON.stringify(json)), "config.json", ignore);
}

function configOf<T extends object = object>(json: Json): ModelConfig & T {
  return read(json).config as ModelConfig & T;
}

/** What official configs hold beside the keys that matter here, in old and new files. */
const OLD_EXTRAS: Json = {
  architectures: ["LlamaForCausalLM"],
  attention_dropout: 0.0,
  bos_token_id: 1,
  eos_token_id: 2,
  initializer_range: 0.02,
  pretraining_tp: 1,
  torch_dtype: "bfloat16",
  transformers_version: "4.43.0.dev0",
  use_cache: true,
};
const NEW_EXTRAS: Json = {
  ...OLD_EXTRAS,
  torch_dtype: undefined,
  dtype: "bfloat16",
  eos_token_id: [2, 3],
  pad_token_id: null,
  transformers_version: "5.23.0",
};

describe("a config in the old and the new spelling", () => {
  const llama3 = {
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 32,
    rope_type: "llama3",
  };

  it.each<[string, Json, Json]>([
    [
      "llama with a rotary scaling",
      { ...LLAMA, ...OLD_EXTRAS, rope_theta: 5e5, rope_scaling: llama3, mlp_bias: false },
      { ...LLAMA, ...NEW_EXTRAS, rope_parameters: { ...llama3, rope_theta: 5e5 }, head_dim: 4 },
    ],
    [
      "llama without one",
      { ...LLAMA, ...OLD_EXTRAS, rope_scaling: null },
      { ...LLAMA, ...NEW_EXTRAS, rope_parameters: { rope_theta: 1e4, rope_type: "default" } },
    ],
    [
      "mistral",
      { ...LLAMA, ...OLD_EXTRAS, model_type: "mistral", sliding_window: 16, rope_theta: 1e4 },
      { ...LLAMA, ...NEW_EXTRAS, model_type: "mistral", sliding_window: 16, head_dim: null, rope_parameters: {} },
    ],
    [
      "qwen2",
      { ...QWEN2, ...OLD_EXTRAS, rope_theta: 1e6, use_sliding_window: true, sliding_window: 8, max_window_layers: 1 },
      {
        ...QWEN2,
        ...NEW_EXTRAS,
        rope_parameters: { rope_theta: 1e6, rope_type: "default" },
        use_sliding_window: true,
        sliding_window: 8,
        max_window_layers: 28,
        layer_types: ["full_attention", "sliding_attention", "sliding_attention"],
      },
    ],
    [
      "qwen3",
      { ...LLAMA, ...OLD_EXTRAS, model_type: "qwen3", rope_theta: 1e6, rope_scaling: null, sliding_window: null },
      {
        ...LLAMA,
        ...NEW_EXTRAS,
        model_type: "qwen3",
        head_dim: 128,
        rope_parameters: { rope_theta: 1e6 },
        layer_types: Array(3).fill("full_attention"),
      },
    ],
  ])("means the same: %s", (_, old, modern) => {
    expect(read(old).config).toEqual(read(modern).config);
  });

  it("has the defaults of transformers", () => {
    expect(configOf(LLAMA)).toMatchObject({
      normEps: 1e-6,
      nKvHeads: 2,
      headDim: 4,
      attentionBias: false,
      mlpBias: false,
    });
    expect(configOf({ ...LLAMA, num_key_value_heads: undefined })).toMatchObject({ nKvHeads: 6, tiedEmbedding: false });
    expect(configOf({ ...LLAMA, model_type: "qwen3" })).toMatchObject({ headDim: 128, normEps: 1e-6 });
    expect(configOf(GPT2)).toMatchObject({
      normEps: 1e-5,
      dFf: 96,
      headDim: 6,
      nKvHeads: 4,
      activation: "geluTanh",
      scaleByInverseLayer: false,
      tiedEmbedding: true,
    });
  });
});

describe("sliding windows", () => {
  const sliding = { ...QWEN2, use_sliding_window: true, sliding_window: 8 };
  const windows = (json: Json) => configOf<{ windows: unknown }>(json).windows;
  const none = [undefined, undefined, undefined];

  it.each<[string, Json, unknown]>([
    ["are off unless use_sliding_window", { ...QWEN2, sliding_window: 8, max_window_layers: 0 }, none],
    ["are off where null", { ...sliding, sliding_window: null, max_window_layers: 0 }, none],
    ["begin with the first layer where max_window_layers is 0", { ...sliding, max_window_layers: 0 }, [8, 8, 8]],
    ["begin with layer max_window_layers", { ...sliding, max_window_layers: 2 }, [undefined, undefined, 8]],
    ["begin with layer 28 where max_window_layers is absent", sliding, none],
    ["begin nowhere where there are fewer layers", { ...sliding, max_window_layers: 3 }, none],
    [
      "are of 4096 keys where use_sliding_window says no size",
      { ...sliding, sliding_window: undefined, max_window_layers: 2 },
      [undefined, undefined, 4096],
    ],
    [
      "follow layer_types where there are some",
      { ...sliding, max_window_layers: 0, layer_types: ["sliding_attention", "full_attention", "full_attention"] },
      [8, undefined, undefined],
    ],
  ])("%s", (_, json, expected) => {
    expect(windows(json)).toEqual(expected);
  });

  it("begin with layer 28 of 30 where max_window_layers is absent", () => {
    const found = windows({ ...sliding, num_hidden_layers: 30 }) as unknown[];
    expect(found.map((window) => window === 8)).toEqual(Array.from({ length: 30 }, (_, i) => i >= 28));
  });

  it("of mistral are 4096 keys where the key is absent, and none where it is null", () => {
    const mistral = { ...LLAMA, model_type: "mistral" };
    expect(configOf(mistral)).toMatchObject({ window: 4096 });
    expect(configOf({ ...mistral, sliding_window: 16 })).toMatchObject({ window: 16 });
    expect(configOf<{ window: unknown }>({ ...mistral, sliding_window: null }).window).toBeUndefined();
  });

  it.each<[string, Json, RegExp]>([
    [
      "a first layer in words",
      { ...sliding, max_window_layers: "x" },
      /max_window_layers: must be an integer from 0 up; got "x"/,
    ],
    [
      "a negative first layer",
      { ...sliding, max_window_layers: -1 },
      /max_window_layers: must be an integer from 0 up; got -1/,
    ],
    [
      "half a layer",
      { ...sliding, max_window_layers: 1.5 },
      /max_window_layers: must be an integer from 0 up; got 1.5/,
    ],
    ["no keys", { ...sliding, sliding_window: 0 }, /sliding_window: must be a positive integer; got 0/],
    [
      "a flag in words",
      { ...sliding, use_sliding_window: "yes" },
      /use_sliding_window: must be true or false; got "yes"/,
    ],
    [
      "too few layer types",
      { ...sliding, layer_types: ["full_attention"] },
      /layer_types: must be 3 of full_attention, sliding_attention/,
    ],
    [
      "unknown layer types",
      { ...sliding, layer_types: Array(3).fill("chunked_attention") },
      /layer_types: must be 3 of/,
    ],
    ["a text of layer types", { ...sliding, layer_types: "sliding_attention" }, /layer_types: must be 3 of/],
    [
      "sliding layers without a window",
      { ...QWEN2, layer_types: Array(3).fill("sliding_attention") },
      /layer_types: a layer of type sliding_attention needs a sliding_window, and use_sliding_window/,
    ],
    [
      "a window in llama, which has none",
      { ...LLAMA, sliding_window: 8 },
      /sliding_window: every key must be understood/,
    ],
  ])("refuse %s", (_, json, message) => {
    expect(() => read(json)).toThrow(ConfigError);
    expect(() => read(json)).toThrow(message);
  });
});

describe("readConfig", () => {
  it("refuses a key that it does not know, with the nearest that it does", () => {
    const unknown = { ...LLAMA, rms_norm_esp: 1e-5 };
    expect(() => read(unknown)).toThrow(ConfigError);
    expect(() => read(unknown)).toThrow(
      "config.json: rms_norm_esp: every key must be understood, for it may change what the model computes; got 0.00001. " +
        'Did you mean rms_norm_eps? If it is harmless, open with ignore: ["rms_norm_esp"].',
    );
    expect(() => read({ ...LLAMA, logit_scale: 2, residual_multiplier: 3 })).toThrow(
      /logit_scale, residual_multiplier/,
    );
  });

  it("leaves out an unknown key on request, and says so", () => {
    expect(read({ ...LLAMA, rms_norm_esp: 1e-5 }, ["rms_norm_esp"]).ignoredKeys).toEqual(["rms_norm_esp"]);
    expect(read(LLAMA, ["rms_norm_esp"]).ignoredKeys).toEqual([]);
    expect(() => read({ ...LLAMA, a: 1, b: 2 }, ["a"])).toThrow(/config.json: b: every key/);
  });

  it("takes no offence at an unknown key that is null", () => {
    expect(read({ ...LLAMA, quantization_config: null }).config).toEqual(read(LLAMA).config);
    expect(() => read({ ...LLAMA, quantization_config: { bits: 4 } })).toThrow(/quantization_config/);
  });

  it("sees names that objects inherit as unknown keys", () => {
    for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      const json = JSON.parse(JSON.stringify(LLAMA).replace("{", `{"${key}": {"vocab_size": 1},`));
      expect(() => readConfig(json, "config.json")).toThrow(`config.json: ${key}: every key must be understood`);
      expect(readConfig(json, "config.json", [key]).config).toEqual(read(LLAMA).config);
    }
    expect(() => read({ ...LLAMA, model_type: "__proto__" })).toThrow(/the supported architectures are/);
    expect(() => read({ ...GPT2, activation_function: "constructor" })).toThrow(/activation_function: must be one of/);
  });

  it.each<[unknown, string]>([
    ["deepseek_v4", 'got "deepseek_v4"'],
    ["Llama", 'got "Llama". llama is not the same architecture, though the name is close.'],
    ["gpt_neox", 'got "gpt_neox"'],
  ])("refuses model_type %j with the list of those that it supports", (model_type, message) => {
    const known = ARCHITECTURES.flatMap(({ modelTypes }) => modelTypes);
    expect(() => read({ ...LLAMA, model_type })).toThrow(
      `config.json: model_type: the supported architectures are ${known.join(", ")}; ${message}`,
    );
  });

  it.each([undefined, null, 3, ["llama"]])("refuses model_type %j with what it is for", (model_type) => {
    expect(() => read({ ...LLAMA, model_type })).toThrow(
      /model_type: must be a string; got .* It names the architecture: gpt2/,
    );
  });

  it.each([[null], [[LLAMA]], ["llama"], [4]])("refuses %j, which is no object", (json) => {
    expect(() => readConfig(json, "config.json")).toThrow("config.json: must be a JSON object");
  });

  const BAD_SIZES = ['"24"', "-24", "0", "24.5", "null", "1e400", "[24]", "true", "{}", "1e20"];
  it.each(BAD_SIZES)("refuses %s as a size", (literal) => {
    for (const [base, keys] of [
      [
        LLAMA,
        [
          "vocab_size",
          "hidden_size",
          "num_hidden_layers",
          "num_attention_heads",
          "intermediate_size",
          "max_position_embeddings",
        ],
      ],
      [GPT2, ["vocab_size", "n_embd", "n_layer", "n_head", "n_positions"]],
    ] as const) {
      for (const key of keys) {
        const json = JSON.parse(JSON.stringify(base).replace(`"${key}":${base[key]}`, `"${key}":${literal}`));
        expect(() => readConfig(json, "config.json")).toThrow(ConfigError);
        expect(() => readConfig(json, "config.json")).toThrow(
          new RegExp(`^config.json: ${key}: must be an? (positive )?integer.*; got`),
        );
      }
    }
  });

  it("refuses NaN and infinity, should a caller have them", () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => readConfig({ ...LLAMA, vocab_size: bad }, "config.json")).toThrow(/vocab_size: must be a positive/);
      expect(() => readConfig({ ...LLAMA, rms_norm_eps: bad }, "config.json")).toThrow(
        /rms_norm_eps: must be a positive/,
      );
    }
  });

  it.each<[string, Json, RegExp]>([
    ["an absent size", { ...LLAMA, vocab_size: undefined }, /vocab_size: must be a positive integer; got nothing/],
    [
      "more layers than memory could hold",
      { ...QWEN2, num_hidden_layers: 1e9 },
      /must be at most 10000; got 1000000000/,
    ],
    ["an eps of 0", { ...LLAMA, rms_norm_eps: 0 }, /rms_norm_eps: must be a positive number; got 0/],
    ["an eps in quotes", { ...LLAMA, rms_norm_eps: "1e-5" }, /rms_norm_eps: must be a positive number; got "1e-5"/],
    ["a θ below 0", { ...LLAMA, rope_theta: -1 }, /rope_theta: must be a positive number; got -1/],
    ["a flag that is a number", { ...LLAMA, attention_bias: 1 }, /attention_bias: must be true or false; got 1/],
    ["another activation", { ...LLAMA, hidden_act: "gelu" }, /hidden_act: only silu is supported/],
    [
      "an unknown activation of GPT-2",
      { ...GPT2, activation_function: "swish" },
      /must be one of gelu_new, .*; got "swish"/,
    ],
    ["cross-attention", { ...GPT2, add_cross_attention: true }, /add_cross_attention: only false is supported/],
    ["scores without a scale", { ...GPT2, scale_attn_weights: false }, /scale_attn_weights: only true is supported/],
    [
      "query heads that do not share key heads evenly",
      { ...LLAMA, num_key_value_heads: 4 },
      /the query heads must be a multiple of the key-value heads; got 6 and 4/,
    ],
    [
      "more key heads than query heads",
      { ...LLAMA, num_key_value_heads: 12 },
      /the query heads must be a multiple of the key-value heads; got 6 and 12/,
    ],
    [
      "a width that is no multiple of the heads",
      { ...LLAMA, hidden_size: 25 },
      /head_dim: heads must have an even whole size/,
    ],
    ["that in GPT-2", { ...GPT2, n_embd: 25 }, /the width must be a multiple of the number of heads; got 25 and 4/],
    [
      "heads of odd size that would be rotated",
      { ...LLAMA, head_dim: 5 },
      /head_dim: heads must have an even .*; got 5/,
    ],
    [
      "an odd size that follows from the width",
      { ...QWEN2, hidden_size: 30 },
      /head_dim: heads must have an even .*; got 5/,
    ],
    [
      "an odd size in qwen3",
      { ...LLAMA, model_type: "qwen3", head_dim: 5 },
      /head_dim: heads must have an even .*; got 5/,
    ],
  ])("refuses %s", (_, json, message) => {
    expect(() => read(json)).toThrow(ConfigError);
    expect(() => read(json)).toThrow(message);
  });

  it("lets GPT-2, which rotates nothing, have heads of odd size", () => {
    expect(configOf({ ...GPT2, n_embd: 20 }).headDim).toBe(5);
  });
});

describe("the weights that a config declares", () => {
  const llama31 = { ...LLAMA, vocab_size: 128256, num_key_value_heads: 8, max_position_embeddings: 131072 };
  const qwen3 = { ...LLAMA, model_type: "qwen3", vocab_size: 151936, num_key_value_heads: 8, head_dim: 128 };
  const sizes = (
    hidden_size: number,
    intermediate_size: number,
    num_hidden_layers: number,
    num_attention_heads: number,
  ) => {
    return { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads };
  };

  it.each<[string, Json, number]>([
    ["Llama-3.1-8B", { ...llama31, ...sizes(4096, 14336, 32, 32) }, 8_030_261_248],
    ["Llama-3.1-70B", { ...llama31, ...sizes(8192, 28672, 80, 64) }, 70_553_706_496],
    ["Qwen3-0.6B", { ...qwen3, ...sizes(1024, 3072, 28, 16), tie_word_embeddings: true }, 596_049_920],
    ["Qwen3-8B", { ...qwen3, ...sizes(4096, 12288, 36, 32) }, 8_190_735_360],
    [
      "GPT-2",
      { model_type: "gpt2", vocab_size: 50257, n_embd: 768, n_layer: 12, n_head: 12, n_positions: 1024 },
      124_439_808,
    ],
  ])("are as many numbers as %s has parameters", (_, json, nParameters) => {
    const { architecture, config } = read(json);
    const specs = namedWeights(architecture.weights(config, () => true));
    expect([...specs.values()].reduce((sum, { shape }) => sum + numel(shape), 0)).toBe(nParameters);
  });
});
