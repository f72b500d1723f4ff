/** The printed tape of each architecture, as its file in test/snapshots/ shows it; `vitest -u` writes them anew. */

import { describe, expect, it } from "vitest";
import { ModelTape } from "../src/architectures/architecture.ts";
import { ARCHITECTURES } from "../src/architectures/index.ts";
import { readConfig } from "../src/run/config.ts";
import { printTape } from "../src/tape/print.ts";
import { expand } from "../src/tape/rewrite.ts";
import type { Tape } from "../src/tape/tape.ts";
import { verify } from "../src/tape/verify.ts";

const gpt2 = { model_type: "gpt2", vocab_size: 90, n_embd: 12, n_layer: 2, n_head: 3, n_positions: 40 };

/** Sizes that differ from each other, so that a shape tells what it is made of. */
const llama = {
  vocab_size: 90,
  hidden_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 10,
  intermediate_size: 28,
  max_position_embeddings: 40,
};

/** The sizes of experts. */
const sparse = { ...llama, num_experts: 5, num_experts_per_tok: 3 };

/** DeepSeek's: latents, parts of heads, experts and their groups. */
const latent = {
  vocab_size: 90,
  hidden_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 28,
  max_position_embeddings: 40,
  kv_lora_rank: 9,
  qk_nope_head_dim: 5,
  qk_rope_head_dim: 6,
  v_head_dim: 7,
  moe_intermediate_size: 13,
  n_routed_experts: 8,
  n_shared_experts: 2,
  num_experts_per_tok: 3,
  first_k_dense_replace: 1,
};

const CONFIGS: Readonly<Record<string, object>> = {
  gpt2,
  "gpt2-mingpt": { ...gpt2, model_type: "mingpt", n_positions: undefined, block_size: 40 },
  llama: { ...llama, model_type: "llama" },
  "llama-biased-tied": {
    ...llama,
    model_type: "llama",
    attention_bias: true,
    mlp_bias: true,
    tie_word_embeddings: true,
  },
  "llama-mistral": { ...llama, model_type: "mistral", sliding_window: 8 },
  qwen2: { ...llama, model_type: "qwen2", use_sliding_window: true, sliding_window: 8, max_window_layers: 1 },
  qwen3: { ...llama, model_type: "qwen3", tie_word_embeddings: true },
  "deepseek-v2": { ...latent, model_type: "deepseek_v2", q_lora_rank: null },
  "deepseek-v2-groups": {
    ...latent,
    model_type: "deepseek_v2",
    q_lora_rank: 17,
    topk_method: "group_limited_greedy",
    n_group: 4,
    topk_group: 2,
    attention_bias: true,
  },
  "deepseek-v3": {
    ...latent,
    model_type: "deepseek_v3",
    q_lora_rank: 17,
    n_group: 4,
    topk_group: 2,
    rope_scaling: { type: "yarn", factor: 4, original_max_position_embeddings: 16, mscale: 0.8, mscale_all_dim: 1 },
  },
  gemma: { ...llama, model_type: "gemma" },
  gemma2: { ...llama, model_type: "gemma2", sliding_window: 8 },
  gemma3: { ...llama, model_type: "gemma3_text", sliding_window: 8, sliding_window_pattern: 2 },
  phi3: {
    ...llama,
    model_type: "phi3",
    sliding_window: 8,
    partial_rotary_factor: 0.6,
    original_max_position_embeddings: 16,
    rope_scaling: { type: "su", short_factor: [1, 2, 3], long_factor: [2, 3, 4] },
  },
  olmo2: { ...llama, model_type: "olmo2", head_dim: undefined },
  mixtral: { ...llama, model_type: "mixtral", num_local_experts: 5, num_experts_per_tok: 3 },
  olmoe: { ...sparse, model_type: "olmoe", head_dim: undefined, attention_bias: true },
  "qwen2-moe": {
    ...sparse,
    model_type: "qwen2_moe",
    moe_intermediate_size: 14,
    shared_expert_intermediate_size: 18,
    mlp_only_layers: [0],
  },
  "qwen3-moe": {
    ...sparse,
    model_type: "qwen3_moe",
    moe_intermediate_size: 14,
    decoder_sparse_step: 2,
    norm_topk_prob: true,
  },
  "gpt-oss": {
    ...llama,
    model_type: "gpt_oss",
    num_local_experts: 5,
    num_experts_per_tok: 3,
    sliding_window: 8,
    rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16, truncate: false },
  },
};

function tapeOf(json: object): { family: string; tape: Tape } {
  const config = JSON.parse(JSON.stringify(json));
  const { architecture, config: read } = readConfig(config, "config.json");
  const weights = architecture.weights(read, () => true);
  return { family: architecture.name, tape: new ModelTape(architecture, read, weights).tape };
}

describe("the tape of", () => {
  it.each(Object.entries(CONFIGS))("%s is that of its snapshot, and of its expanded snapshot", async (name, config) => {
    const { tape } = tapeOf(config);
    await expect(`${printTape(tape)}\n`).toMatchFileSnapshot(`snapshots/${name}.txt`);
    await expect(`${printTape(expand(tape))}\n`).toMatchFileSnapshot(`snapshots/${name}-expanded.txt`);
  });

  it.each(Object.entries(CONFIGS))("%s is verified, whole and expanded", (_, config) => {
    const { tape } = tapeOf(config);
    verify(tape);
    verify(expand(tape));
  });

  it("every family has a snapshot", () => {
    const families = new Set(Object.values(CONFIGS).map((config) => tapeOf(config).family));
    expect([...families].sort()).toEqual(ARCHITECTURES.map(({ name }) => name).sort());
  });
});
