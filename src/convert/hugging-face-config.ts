/** A model's config in the words of transformers. */

import type { GgufMetadata } from "../checkpoint/gguf-values.ts";
import type { GgufConfig } from "../config/gguf.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { Json } from "../config/reader.ts";
import { type RopeConfig, ropeFrequencies } from "../config/rope.ts";
import { ConfigError } from "../errors.ts";
import type { PlainFormat } from "../tensor/format.ts";

/** PyTorch's names of the types. */
const TORCH_DTYPES: Partial<Record<PlainFormat, string>> = { f32: "float32", f16: "float16", bf16: "bfloat16" };

/** Keys of a GGUF file's config.json whose values are floats, also where they have no fraction. */
export const FLOAT_KEYS: ReadonlySet<string> = new Set([
  ...["rope_theta", "rope_local_base_freq", "partial_rotary_factor"],
  ...["attn_logit_softcapping", "final_logit_softcapping", "routed_scaling_factor"],
]);

/** The same config with the type of the new weights, which are plain; whether the embedding is tied is what they say. */
export function withDtype(json: Json, type: PlainFormat, isTied: boolean): Json {
  const { dtype, torch_dtype: _older, quantization_config: _before, ...rest } = json;
  const key = dtype === undefined ? "torch_dtype" : "dtype";
  return { ...rest, tie_word_embeddings: isTied, [key]: TORCH_DTYPES[type] };
}

/**
 * The config.json of a GGUF file, whose metadata `json` holds in the keys of config.json already. Keys that were left
 * out on request stay out.
 */
export function configOfGguf(
  family: GgufConfig,
  json: Json,
  config: ModelConfig,
  ignoredKeys: readonly string[],
  values: GgufMetadata,
): Json {
  const kept = Object.entries(json).filter(([key, value]) => value !== undefined && !ignoredKeys.includes(key));
  const { rope_scaling: scaling, ...rest } = Object.fromEntries(kept);
  const result = {
    architectures: [family.className],
    model_type: family.modelType,
    ...rest,
    // Unless they are there, transformers takes the family's own.
    bos_token_id: values.get("tokenizer.ggml.bos_token_id")?.value ?? null,
    eos_token_id: values.get("tokenizer.ggml.eos_token_id")?.value ?? null,
    pad_token_id: values.get("tokenizer.ggml.padding_token_id")?.value ?? null,
  };
  if (scaling === undefined) return result;
  return { ...result, rope_scaling: config.rope?.scaling.type === "factors" ? llama3Scaling(config) : scaling };
}

/** Llama 3 and all after it that scale like it; any other values that give the same factors would do as well. */
const LOW_FREQ_FACTOR = 1;
const HIGH_FREQ_FACTORS = [4, 2, 3, 5, 6, 7, 8];

/** Converters work the factors out in float32. */
const FACTOR_TOLERANCE = 1e-6;

/** The llama3 scaling that gives these factors: GGUF files of this family hold no others. */
function llama3Scaling({ rope, headDim }: ModelConfig): Json {
  const { theta, scaling } = rope as RopeConfig & { scaling: { type: "factors" } };
  const factor = Math.max(...scaling.factors);
  const plain = ropeFrequencies({ theta, scaling: { type: "default" } }, headDim);
  const blended = scaling.factors.findIndex((x) => x > 1 && x < factor);
  for (const high of blended < 0 ? [] : HIGH_FREQ_FACTORS) {
    // Solves the blend of `llama3Frequency` for the original context.
    const smooth = (1 / scaling.factors[blended] - 1 / factor) / (1 - 1 / factor);
    const wavelength = (2 * Math.PI) / plain[blended];
    const originalContextLength = Math.round(wavelength * (LOW_FREQ_FACTOR + smooth * (high - LOW_FREQ_FACTOR)));
    const llama3 = {
      type: "llama3",
      factor,
      lowFreqFactor: LOW_FREQ_FACTOR,
      highFreqFactor: high,
      originalContextLength,
    } as const;
    const scaled = ropeFrequencies({ theta, scaling: llama3 }, headDim);
    if (!scaling.factors.every((x, i) => Math.abs(plain[i] / scaled[i] - x) <= FACTOR_TOLERANCE * x)) continue;
    return {
      rope_type: "llama3",
      factor,
      low_freq_factor: LOW_FREQ_FACTOR,
      high_freq_factor: high,
      original_max_position_embeddings: originalContextLength,
    };
  }
  throw new ConfigError("config.unsupported", {
    path: "convert: rope_freqs.weight",
    expected: "the factors on the rotary frequencies must be those of a llama3 scaling, which config.json can say",
    got: "others",
    remedy: "Convert to a .gguf file instead.",
  });
}
