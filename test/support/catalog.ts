/** The points of a model that exists as a config alone. */

import { ModelTape } from "../../src/architectures/architecture.ts";
import { PointCatalog } from "../../src/points/catalog.ts";
import { readConfig } from "../../src/run/config.ts";

const CONFIGS = {
  gpt2: { model_type: "gpt2", vocab_size: 300, n_embd: 8, n_layer: 6, n_head: 4, n_inner: 20, n_positions: 16 },
  llama: llamaLike("llama", { num_key_value_heads: 2 }),
  qwen3: llamaLike("qwen3", { num_key_value_heads: 4, head_dim: 6 }),
  gemma2: llamaLike("gemma2", { num_key_value_heads: 2, head_dim: 6, sliding_window: 8, tie_word_embeddings: true }),
  mixtral: llamaLike("mixtral", { num_local_experts: 6, num_experts_per_tok: 2, num_key_value_heads: 2 }),
  qwen2Moe: llamaLike("qwen2_moe", {
    ...{
      num_experts: 6,
      num_experts_per_tok: 2,
      num_key_value_heads: 2,
      moe_intermediate_size: 10,
      shared_expert_intermediate_size: 12,
    },
    ...{ decoder_sparse_step: 1, mlp_only_layers: [], norm_topk_prob: false },
  }),
  gptOss: llamaLike("gpt_oss", {
    ...{ num_local_experts: 6, num_experts_per_tok: 2, head_dim: 6, num_key_value_heads: 2, sliding_window: 8 },
    rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 4 },
  }),
  deepSeekV3: llamaLike("deepseek_v3", {
    ...{ n_routed_experts: 16, num_experts_per_tok: 4, n_shared_experts: 1, moe_intermediate_size: 10 },
    ...{ n_group: 4, topk_group: 2, norm_topk_prob: true, routed_scaling_factor: 2.5, first_k_dense_replace: 3 },
    ...{ q_lora_rank: 7, kv_lora_rank: 6, qk_nope_head_dim: 4, qk_rope_head_dim: 2, v_head_dim: 5 },
  }),
};

/**
 * Six layers, four heads, 20 neurons a layer, 300 tokens; `llama` has two key heads. `deepSeekV3` has experts from layer
 * 3 on.
 */
export function catalogOf(family: keyof typeof CONFIGS): PointCatalog {
  const { architecture, config } = readConfig(CONFIGS[family], "config.json");
  const { tape } = new ModelTape(
    architecture,
    config,
    architecture.weights(config, () => true),
  );
  return new PointCatalog(tape, config.nLayers, architecture.absentPoints, { supports: () => true, taps: () => [] });
}

function llamaLike(model_type: string, sizes: object): object {
  const layers = { num_hidden_layers: 6, num_attention_heads: 4, max_position_embeddings: 16 };
  return { model_type, vocab_size: 300, hidden_size: 8, intermediate_size: 20, ...layers, ...sizes };
}
