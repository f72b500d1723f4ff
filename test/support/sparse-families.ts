/** The tiny models with experts, one of each way to choose them, and how each chooses. */

import { readFileSync } from "node:fs";
import type { Model } from "../../src/run/model.ts";
import { fixture } from "./fixtures.ts";
import { normalized, type RouterRule, sigmoid, softmax } from "./plain-router.ts";

/** Softmax over all; the same with a shared expert; over the chosen ones; groups by their best; groups and a bias. */
export const SPARSE_GOLDENS = ["mixtral-window-tied", "qwen2-moe", "gpt-oss", "deepseek-v2", "deepseek-v3"] as const;

export type SparseGolden = (typeof SPARSE_GOLDENS)[number];

/** How the router of a layer of a model chooses. */
export async function routerRule(name: SparseGolden, model: Model, layer: number): Promise<RouterRule> {
  const config = JSON.parse(readFileSync(`${fixture(`goldens/${name}`)}/config.json`, "utf8"));
  const nExpertsPerToken = config.num_experts_per_tok;
  const scaled = (weights: readonly number[]): number[] =>
    weights.map((weight) => weight * config.routed_scaling_factor);
  const inGroups = (nBest: number) => ({ n: config.n_group, kept: config.topk_group, nBest });
  switch (name) {
    case "mixtral-window-tied":
      return { nExpertsPerToken, scores: softmax, weigh: normalized };
    case "qwen2-moe":
      return { nExpertsPerToken, scores: softmax, weigh: config.norm_topk_prob ? normalized : (weights) => weights };
    case "gpt-oss":
      return { nExpertsPerToken, scores: (logits) => logits, weigh: softmax };
    case "deepseek-v2":
      return { nExpertsPerToken, scores: softmax, groups: inGroups(1), weigh: scaled };
    case "deepseek-v3": {
      const { parts } = await model.weight(`blocks.${layer}.router.selectionBias`);
      const bias = [...parts[0].values.data];
      return {
        ...{ nExpertsPerToken, scores: sigmoid, bias, groups: inGroups(2) },
        weigh: (weights) => scaled(config.norm_topk_prob ? normalized(weights) : weights),
      };
    }
  }
}
