/** The points of a model that exists as a config alone. */

import { ModelTape } from "../../src/architectures/architecture.ts";
import { PointCatalog } from "../../src/points/catalog.ts";
import { readConfig } from "../../src/run/config.ts";

const CONFIGS = {
  gpt2: { model_type: "gpt2", vocab_size: 300, n_embd: 8, n_layer: 6, n_head: 4, n_inner: 20, n_positions: 16 },
  llama: llamaLike("llama", { num_key_value_heads: 2 }),
  qwen3: llamaLike("qwen3", { num_key_value_heads: 4, head_dim: 6 }),
};

/** Six layers, four heads, 20 neurons a layer, 300 tokens; `llama` has two key heads. */
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
