/** What the configs of DeepSeek-V2 and V3 say in the same words, and their GGUF files too. */

import type { GgufConfig, GgufContents, GgufEntry, GgufKeys } from "./gguf.ts";
import type { ModelConfig, SparseConfig } from "./model-config.ts";
import { type ConfigReader, isObject, type Json } from "./reader.ts";
import type { RopeConfig } from "./rope.ts";

/** Sizes of multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, §2.1). */
export interface LatentConfig {
  /** Of the queries' latent; undefined where queries have none. */
  readonly qLoraRank: number | undefined;
  readonly kvLoraRank: number;
  /** Dimensions of a query or key that do not turn, before those that do. */
  readonly qkNopeHeadDim: number;
  readonly qkRopeHeadDim: number;
  readonly vHeadDim: number;
}

/** Groups that experts are first kept to. */
export interface GroupsConfig {
  readonly nGroups: number;
  readonly nGroupsPerToken: number;
}

export function readLatent(r: ConfigReader, nHeads: number): LatentConfig {
  const [qkNopeHeadDim, qkRopeHeadDim] = [r.size("qk_nope_head_dim", 128), r.size("qk_rope_head_dim", 64)];
  r.require("num_key_value_heads", nHeads, "each head has keys and values of its own");
  // Sizes that transformers works out and writes down.
  r.require("qk_head_dim", qkNopeHeadDim + qkRopeHeadDim, "qk_nope_head_dim + qk_rope_head_dim");
  r.require("head_dim", qkRopeHeadDim, "qk_rope_head_dim");
  return {
    qLoraRank: r.sizeOrNull("q_lora_rank", 1536),
    kvLoraRank: r.size("kv_lora_rank", 512),
    qkNopeHeadDim,
    qkRopeHeadDim,
    vHeadDim: r.size("v_head_dim", 128),
  };
}

/** Layers are sparse from `first_k_dense_replace` on where `moe_layer_freq` divides their number. */
export function readSparseLayers(r: ConfigReader, nLayers: number, firstSparse: number): boolean[] {
  const first = r.count("first_k_dense_replace", firstSparse);
  if (r.has("first_k_dense_replace") && first > nLayers) {
    throw r.invalid("first_k_dense_replace", `at most the ${nLayers} layers that there are`, first);
  }
  const every = r.size("moe_layer_freq", 1);
  return Array.from({ length: nLayers }, (_, layer) => layer >= first && layer % every === 0);
}

interface GroupsOptions {
  /** For `n_group` and `topk_group`. */
  readonly defaults: readonly [number, number];
  /** So many of its experts tell how good a group is. */
  readonly nScored: 1 | 2;
}

/** Undefined where all experts are one group. */
export function readGroups(
  r: ConfigReader,
  { nExperts, nExpertsPerToken }: SparseConfig,
  { defaults, nScored }: GroupsOptions,
): GroupsConfig | undefined {
  const nGroups = r.sizeOrNull("n_group", defaults[0]) ?? 1;
  const nGroupsPerToken = r.sizeOrNull("topk_group", defaults[1]) ?? 1;
  if (nGroups === 1) return undefined;
  if (nExperts % nGroups !== 0) throw r.invalid("n_group", `a divisor of the ${nExperts} experts`, nGroups);
  if (nExperts / nGroups < nScored) {
    throw r.invalid("n_group", `so few that each has ${nScored} or more of the ${nExperts} experts`, nGroups);
  }
  const nKept = (nExperts / nGroups) * nGroupsPerToken;
  if (nGroupsPerToken <= nGroups && nKept >= nExpertsPerToken) return { nGroups, nGroupsPerToken };
  const expected = `at most ${nGroups}, and so many that they hold the ${nExpertsPerToken} experts of a token`;
  throw r.invalid("topk_group", expected, nGroupsPerToken);
}

/** What both families have, for writing it. */
interface DeepSeekConfig extends ModelConfig, LatentConfig {
  readonly vHeadDim: number;
  readonly rope: RopeConfig;
  readonly sparse: SparseConfig;
  readonly groups: GroupsConfig | undefined;
  readonly normTopK: boolean;
  readonly routedScale: number;
}

const u32 = (of: (c: DeepSeekConfig) => number | undefined): GgufEntry<DeepSeekConfig> => ({ type: "u32", of });

/** As llama.cpp's converter has it since it splits `kv_b_proj`: the cache is one head, of the latent and the shared key. */
const ENTRIES: Readonly<Record<string, GgufEntry<DeepSeekConfig>>> = {
  "attention.head_count_kv": u32(() => 1),
  "attention.q_lora_rank": u32((c) => c.qLoraRank),
  "attention.kv_lora_rank": u32((c) => c.kvLoraRank),
  "attention.key_length": u32((c) => c.kvLoraRank + c.qkRopeHeadDim),
  "attention.value_length": u32((c) => c.kvLoraRank),
  "attention.key_length_mla": u32((c) => c.qkNopeHeadDim + c.qkRopeHeadDim),
  "attention.value_length_mla": u32((c) => c.vHeadDim),
  "rope.dimension_count": u32((c) => c.qkRopeHeadDim),
  "rope.scaling.yarn_log_multiplier": {
    type: "f32",
    of: ({ rope: { scaling } }) =>
      scaling.type === "yarn" && scaling.mscaleAllDim !== undefined ? 0.1 * scaling.mscaleAllDim : undefined,
  },
  leading_dense_block_count: u32(({ sparse: { layers } }) =>
    layers.includes(true) ? layers.indexOf(true) : layers.length,
  ),
  expert_shared_count: u32(({ sparse: { dShared, dExpert } }) => dShared / dExpert),
  expert_group_count: u32((c) => c.groups?.nGroups ?? 1),
  expert_group_used_count: u32((c) => c.groups?.nGroupsPerToken ?? 1),
  expert_weights_norm: { type: "bool", of: ({ normTopK }) => normTopK || undefined },
  expert_weights_scale: { type: "f32", of: ({ routedScale }) => routedScale },
};

/** By `expert_gating_func`, which older files leave out. */
const SCORING: Readonly<Record<number, string>> = { 1: "softmax", 2: "sigmoid" };
const GATING = "expert_gating_func";

/** `ENTRIES` with how the family scores experts. */
export function deepSeekEntries<C extends DeepSeekConfig>(gating: 1 | 2): Readonly<Record<string, GgufEntry<C>>> {
  return { ...ENTRIES, [GATING]: u32(() => gating) };
}

/** How llama.cpp's architecture "deepseek2" says it; `expert_gating_func` tells the families apart. */
export const DEEPSEEK_GGUF = {
  architecture: "deepseek2",
  keys: {
    num_hidden_layers: "block_count",
    max_position_embeddings: "context_length",
    hidden_size: "embedding_length",
    intermediate_size: "feed_forward_length",
    num_attention_heads: "attention.head_count",
    rms_norm_eps: "attention.layer_norm_rms_epsilon",
    rope_theta: "rope.freq_base",
    kv_lora_rank: "attention.kv_lora_rank",
    qk_rope_head_dim: "rope.dimension_count",
    first_k_dense_replace: "leading_dense_block_count",
    n_routed_experts: "expert_count",
    num_experts_per_tok: "expert_used_count",
    n_shared_experts: "expert_shared_count",
    moe_intermediate_size: "expert_feed_forward_length",
  },
  optionalKeys: { n_group: "expert_group_count", topk_group: "expert_group_used_count" },
  reworded: (own: GgufKeys, json: Json) => {
    const parts = [latentJson(own), routerJson(own), mscaleJson(own, json)];
    return { json: Object.assign({}, ...parts.map((part) => part.json)), keys: parts.flatMap(({ keys }) => keys) };
  },
} satisfies Partial<GgufConfig>;

/** Files from before llama.cpp split `kv_b_proj` have no `_mla` keys: the heads are of the sizes that they have in use. */
function latentJson(own: GgufKeys) {
  const [rope, rank] = [Number(own.get("rope.dimension_count")), Number(own.get("attention.kv_lora_rank"))];
  const isSplit = own.has("attention.key_length_mla");
  const [keyLength, valueLength] = isSplit ? ["key_length_mla", "value_length_mla"] : ["key_length", "value_length"];
  // Of split files those of the one latent, which are nothing new if they are right.
  const isKnown = (key: string, value: number): boolean => !isSplit || own.get(key) === value;
  return {
    json: {
      q_lora_rank: own.get("attention.q_lora_rank") ?? null,
      qk_nope_head_dim: Number(own.get(`attention.${keyLength}`)) - rope,
      v_head_dim: own.get(`attention.${valueLength}`) ?? null,
      num_key_value_heads: isSplit ? own.get("attention.head_count") : own.get("attention.head_count_kv"),
    },
    keys: [
      ...["attention.q_lora_rank", "attention.key_length_mla", "attention.value_length_mla"],
      ...(isKnown("attention.key_length", rank + rope) ? ["attention.key_length"] : []),
      ...(isKnown("attention.value_length", rank) ? ["attention.value_length"] : []),
      ...(isKnown("attention.head_count_kv", 1) ? ["attention.head_count_kv"] : []),
    ],
  };
}

export function hasSigmoidScores({ values }: GgufContents): boolean {
  return values.get(`${DEEPSEEK_GGUF.architecture}.${GATING}`)?.value === 2;
}

/**
 * `n_group` and `topk_group` by the number of experts: those of DeepSeek-V2 and of V3, the published models that have
 * groups. Files from before llama.cpp knew groups do not say them.
 */
const PUBLISHED_GROUPS: Readonly<Record<number, readonly [number, number]>> = { 160: [8, 3], 256: [8, 4] };

function routerJson(own: GgufKeys) {
  const gating = Number(own.get(GATING) ?? 1);
  const scoring = SCORING[gating] ?? `${GATING} ${gating}`;
  const [nGroups, nGroupsPerToken] = PUBLISHED_GROUPS[Number(own.get("expert_count"))] ?? [1, 1];
  const n_group = own.get("expert_group_count") ?? nGroups;
  const v2Method = Number(n_group) > 1 ? "group_limited_greedy" : "greedy";
  return {
    json: {
      n_group,
      topk_group: own.get("expert_group_used_count") ?? nGroupsPerToken,
      scoring_func: scoring,
      topk_method: scoring === "sigmoid" ? "noaux_tc" : v2Method,
      norm_topk_prob: own.get("expert_weights_norm") ?? false,
      // llama.cpp takes 0 for "not scaled" as well.
      routed_scaling_factor: own.get("expert_weights_scale") || 1,
      // The converter leaves V3's layers for multi-token prediction out.
      ...(scoring === "sigmoid" && { num_nextn_predict_layers: 0 }),
    },
    keys: [GATING, "expert_weights_norm", "expert_weights_scale"],
  };
}

/**
 * The multiplier is 0.1 · mscale_all_dim; llama.cpp takes mscale for the same, as it is in every published model. Without
 * the key it scales cos and sin as YaRN does, and the scores as well.
 */
function mscaleJson(own: GgufKeys, { rope_scaling: scaling }: Json) {
  const key = "rope.scaling.yarn_log_multiplier";
  const multiplier = own.get(key);
  if (!isObject(scaling) || scaling.rope_type !== "yarn") return { json: {}, keys: [] };
  if (typeof multiplier !== "number") {
    const attention_factor = 1 + 0.1 * Math.log(Math.max(1, Number(scaling.factor)));
    return { json: { rope_scaling: { ...scaling, attention_factor, mscale_all_dim: 1 } }, keys: [] };
  }
  // 0.0707 is 0.707 / 10, which a product of floating-point numbers misses.
  const mscale = Number((10 * multiplier).toPrecision(8));
  return { json: { rope_scaling: { ...scaling, mscale, mscale_all_dim: mscale } }, keys: [key] };
}
