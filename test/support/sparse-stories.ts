/** A model with experts that takes texts: DeepSeek-V3 in small, with weights of no meaning and the tokenizer of stories260K. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeSafetensors, type NamedTensor } from "../../src/checkpoint/write-safetensors.ts";
import { utf8 } from "../checkpoint-files.ts";
import { stories260K } from "./fixtures.ts";
import { range } from "./view-cases.ts";

interface Sizes {
  readonly nExperts: number;
  readonly nExpertsPerToken: number;
  /** Other numbers, other weights. */
  readonly seed?: number;
}

const CONFIG = {
  ...{ model_type: "deepseek_v3", architectures: ["DeepseekV3ForCausalLM"], hidden_act: "silu", rms_norm_eps: 1e-6 },
  ...{ vocab_size: 512, hidden_size: 16, num_hidden_layers: 3, num_attention_heads: 2, num_key_value_heads: 2 },
  ...{ intermediate_size: 12, max_position_embeddings: 256, tie_word_embeddings: true, attention_bias: false },
  ...{ q_lora_rank: null, kv_lora_rank: 6, qk_nope_head_dim: 4, qk_rope_head_dim: 4, v_head_dim: 5 },
  ...{ first_k_dense_replace: 1, moe_intermediate_size: 4, n_shared_experts: 1, n_group: 4, topk_group: 2 },
  ...{ norm_topk_prob: true, routed_scaling_factor: 2.5, rope_theta: 10_000, num_nextn_predict_layers: 0 },
};

/** Layer 0 is dense, layers 1 and 2 have experts in four groups, and a shared one. */
export function sparseStoriesFiles({ nExperts, nExpertsPerToken, seed = 7 }: Sizes): Record<string, Uint8Array> {
  const config = { ...CONFIG, n_routed_experts: nExperts, num_experts_per_tok: nExpertsPerToken };
  const copied = ["tokenizer.json", "tokenizer_config.json", "generation_config.json"];
  return {
    ...Object.fromEntries(copied.map((file) => [file, readFileSync(join(stories260K, file))])),
    "config.json": utf8(JSON.stringify(config)),
    "model.safetensors": encodeSafetensors(tensors(nExperts, noiseOf(seed))),
  };
}

/** The same as a folder. */
export function writeSparseStories(folder: string, sizes: Sizes): string {
  mkdirSync(folder, { recursive: true });
  for (const [file, bytes] of Object.entries(sparseStoriesFiles(sizes))) writeFileSync(join(folder, file), bytes);
  return folder;
}

function tensors(nExperts: number, noise: Noise): NamedTensor[] {
  const { hidden_size: d, num_attention_heads: nHeads, kv_lora_rank: rank, intermediate_size: dFf } = CONFIG;
  const { qk_nope_head_dim: nope, qk_rope_head_dim: rope, v_head_dim: dV, moe_intermediate_size: dExpert } = CONFIG;
  const matrix = (name: string, ...shape: number[]): NamedTensor => {
    return { name, shape, data: noise(name, shape, 1.5 / Math.sqrt(shape.at(-1) ?? 1)) };
  };
  const norm = (name: string, size: number): NamedTensor => ({
    name,
    shape: [size],
    data: new Float32Array(size).fill(1),
  });
  const mlp = (name: string, size: number): NamedTensor[] => [
    matrix(`${name}.gate_proj.weight`, size, d),
    matrix(`${name}.up_proj.weight`, size, d),
    matrix(`${name}.down_proj.weight`, d, size),
  ];
  const experts = (name: string): NamedTensor[] => [
    matrix(`${name}.gate.weight`, nExperts, d),
    { name: `${name}.gate.e_score_correction_bias`, shape: [nExperts], data: noise(`${name} bias`, [nExperts], 0.05) },
    matrix(`${name}.experts.gate_up_proj`, nExperts, 2 * dExpert, d),
    matrix(`${name}.experts.down_proj`, nExperts, d, dExpert),
    ...mlp(`${name}.shared_experts`, dExpert),
  ];
  const layers = range(CONFIG.num_hidden_layers).flatMap((layer) => {
    const at = `model.layers.${layer}`;
    return [
      norm(`${at}.input_layernorm.weight`, d),
      norm(`${at}.post_attention_layernorm.weight`, d),
      norm(`${at}.self_attn.kv_a_layernorm.weight`, rank),
      matrix(`${at}.self_attn.q_proj.weight`, nHeads * (nope + rope), d),
      matrix(`${at}.self_attn.kv_a_proj_with_mqa.weight`, rank + rope, d),
      matrix(`${at}.self_attn.kv_b_proj.weight`, nHeads * (nope + dV), rank),
      matrix(`${at}.self_attn.o_proj.weight`, d, nHeads * dV),
      ...(layer < CONFIG.first_k_dense_replace ? mlp(`${at}.mlp`, dFf) : experts(`${at}.mlp`)),
    ];
  });
  return [matrix("model.embed_tokens.weight", CONFIG.vocab_size, d), ...layers, norm("model.norm.weight", d)];
}

type Noise = (name: string, shape: readonly number[], scale: number) => Float32Array;

/** Numbers within ±scale that depend on the seed and the name alone (xorshift, Marsaglia 2003). */
function noiseOf(seed: number): Noise {
  return (name, shape, scale) => {
    let state = [...name].reduce((hash, letter) => (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0, seed) || 1;
    return Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state / 2 ** 31) * scale;
    });
  };
}
