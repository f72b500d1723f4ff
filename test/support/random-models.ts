/** A small model of random weights of every family that GGUF has a form of. */

import type { Architecture } from "../../src/architectures/architecture.ts";
import { ARCHITECTURES } from "../../src/architectures/index.ts";
import { encodeSafetensors } from "../../src/checkpoint/write-safetensors.ts";
import { ConfigReader, type Json } from "../../src/config/reader.ts";
import { sharedTensors } from "../../src/convert/shares.ts";
import { numel } from "../../src/tensor/shape.ts";
import type { Binding } from "../../src/weights/bind.ts";
import { namedWeights } from "../../src/weights/schema.ts";
import { utf8 } from "../checkpoint-files.ts";
import { randomFrom } from "../op-support/random.ts";

/** Rows are whole blocks of Q8_0. */
const SIZES = {
  vocab_size: 96,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 256,
};

const EXPERTS = { num_experts: 8, num_experts_per_tok: 3 };

const YARN = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16 };

const DEEPSEEK = {
  ...SIZES,
  num_key_value_heads: 4,
  num_hidden_layers: 3,
  first_k_dense_replace: 1,
  q_lora_rank: 32,
  kv_lora_rank: 32,
  qk_nope_head_dim: 32,
  qk_rope_head_dim: 16,
  v_head_dim: 32,
  moe_intermediate_size: 32,
  n_routed_experts: 8,
  n_shared_experts: 2,
  num_experts_per_tok: 3,
  rope_scaling: { ...YARN, mscale: 0.75, mscale_all_dim: 0.75 },
};

/** Their config.json, by the architecture's name. What llama.cpp cannot do is in none of them. */
export const RANDOM_MODELS: Readonly<Record<string, Json>> = {
  gpt2: { model_type: "gpt2", vocab_size: 96, n_embd: 64, n_head: 4, n_layer: 2, n_positions: 256 },
  llama: { ...SIZES, model_type: "llama", rope_scaling: { rope_type: "linear", factor: 4 } },
  qwen2: { ...SIZES, model_type: "qwen2", tie_word_embeddings: true },
  qwen3: { ...SIZES, model_type: "qwen3", head_dim: 32 },
  "deepseek-v2": { ...DEEPSEEK, model_type: "deepseek_v2" },
  "deepseek-v3": {
    ...DEEPSEEK,
    model_type: "deepseek_v3",
    n_routed_experts: 16,
    n_group: 4,
    topk_group: 2,
    rope_scaling: { ...YARN, mscale: 1, mscale_all_dim: 1 },
  },
  gemma: { ...SIZES, model_type: "gemma", num_key_value_heads: 1, head_dim: 32 },
  gemma2: {
    ...SIZES,
    model_type: "gemma2",
    head_dim: 32,
    query_pre_attn_scalar: 32,
    sliding_window: 8,
    attn_logit_softcapping: 3,
    final_logit_softcapping: 5,
  },
  gemma3: {
    ...SIZES,
    model_type: "gemma3_text",
    num_hidden_layers: 3,
    head_dim: 32,
    query_pre_attn_scalar: 32,
    sliding_window: 8,
    sliding_window_pattern: 3,
    rope_local_base_freq: 100,
    rope_scaling: { rope_type: "linear", factor: 4 },
  },
  phi3: { ...SIZES, model_type: "phi3", partial_rotary_factor: 0.75 },
  olmo2: { ...SIZES, model_type: "olmo2" },
  mixtral: { ...SIZES, model_type: "mixtral", num_local_experts: 8, num_experts_per_tok: 2 },
  olmoe: { ...SIZES, ...EXPERTS, model_type: "olmoe", intermediate_size: 32, num_key_value_heads: 4 },
  "qwen2-moe": {
    ...SIZES,
    ...EXPERTS,
    model_type: "qwen2_moe",
    moe_intermediate_size: 32,
    shared_expert_intermediate_size: 64,
  },
  "qwen3-moe": {
    ...SIZES,
    ...EXPERTS,
    model_type: "qwen3_moe",
    head_dim: 32,
    moe_intermediate_size: 32,
    norm_topk_prob: true,
  },
  "gpt-oss": {
    ...SIZES,
    model_type: "gpt_oss",
    head_dim: 32,
    intermediate_size: 32,
    sliding_window: 8,
    num_local_experts: 8,
    num_experts_per_tok: 3,
    // Where llama.cpp's ramp of YaRN, between whole dimensions, is the family's.
    rope_scaling: { ...YARN, original_max_position_embeddings: 12, truncate: false },
  },
};

export function architectureOf({ model_type }: Json): Architecture {
  const found = ARCHITECTURES.find(({ modelTypes }) => modelTypes.includes(`${model_type}`));
  if (found === undefined) throw new Error(`no architecture has the model_type ${model_type}`);
  return found;
}

/** The files of a model with this config.json. Attention is far from uniform, and no norm or bias is neutral. */
export function randomModel(json: Json, seed = 1): Record<string, Uint8Array> {
  const architecture = architectureOf(json);
  const config = architecture.config(new ConfigReader(json), `${json.model_type}`);
  const specs = [...namedWeights(architecture.weights(config, () => true)).values()];
  const random = randomFrom(seed);
  // Which rows of which weight a tensor has follows from the shapes alone.
  const weights = specs.map(({ shape, huggingFace: [to] }) => ({ from: { shape } as Binding, to }));
  const tensors = sharedTensors(weights).map(({ name, shape, transposed, shares: [{ to }] }) => {
    const nInputs = shape.at(transposed ? -2 : -1) as number;
    const [mean, deviation] = distribution(name, shape.length, nInputs);
    const number = () => mean - (to.offset ?? 0) + deviation * Math.sqrt(3) * (2 * random() - 1);
    return { name, shape, data: Float32Array.from({ length: numel(shape) }, number) };
  });
  return { "config.json": utf8(JSON.stringify(json)), "model.safetensors": encodeSafetensors(tensors) };
}

function distribution(name: string, nAxes: number, nInputs: number): readonly [mean: number, deviation: number] {
  if (/norm|ln_/.test(name) && name.endsWith("weight")) return [1, 0.25];
  if (nAxes === 1 || name.endsWith("bias")) return [0, 0.3];
  return [0, /embed|wte|wpe/.test(name) ? 0.8 : 1.5 / Math.sqrt(nInputs)];
}
