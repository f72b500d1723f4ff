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
