const DELTA = "linear attention by the gated delta rule, which keeps a state in the place of keys and values";

/** What families that golgi does not run would need, by `model_type`. */
export const NEEDED: Readonly<Record<string, string>> = {
  deepseek_v32: "an indexer that chooses the keys which each row attends to (DeepSeek Sparse Attention)",
  deepseek_v4: "hyper-connections between layers, and attention over compressed keys",
  kimi_linear: DELTA,
  qwen3_5: DELTA,
  qwen3_5_moe: DELTA,
  qwen3_next: DELTA,
};
