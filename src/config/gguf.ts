/**
 * A GGUF file's metadata in the words of config.json, so that each family reads its config once, from either. Errors
 * name the metadata's own keys. What llama.cpp assumes where a key is missing is assumed here too.
 */
import { ConfigError } from "../errors.ts";
import type { ModelConfig } from "./model-config.ts";
import { ConfigReader, type Json } from "./reader.ts";

/** A value of the metadata, for writing it; left out where it is undefined. */
export type GgufEntry<C> =
  | { readonly type: "u32" | "f32"; of(config: C): number | undefined }
  | { readonly type: "bool"; of(config: C): boolean | undefined };

/** How GGUF files say what a family's config.json says. */
export interface GgufConfig<C extends ModelConfig = ModelConfig> {
  /** `general.architecture`. */
  readonly architecture: string;
  /** The `model_type` that it stands for. */
  readonly modelType: string;
  /** The class of transformers that runs it. */
  readonly className: string;
  /** Whether llama.cpp takes `rope_freqs.weight` for it. */
  readonly hasRopeFactors?: true;
  /** Whether llama.cpp takes `rope_factors_short.weight` and `rope_factors_long.weight` for it. */
  readonly hasLongropeFactors?: true;
  /** For each key of config.json that of the metadata, without `{architecture}.` in front. */
  readonly keys: Readonly<Record<string, string>>;
  /** Keys of the metadata that the family does not read, with the value that says what it computes anyway. */
  readonly neutral?: Json;
  /** As `keys`, of those that files may leave out: what config.json's own default says then holds. */
  readonly optionalKeys?: Readonly<Record<string, string>>;
  /** What keys say of fields that other families do not have. */
  readonly entries?: Readonly<Record<string, GgufEntry<C>>>;
  /** For each flag of config.json the tensor that is there where it is set. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Where families share an architecture's name: whether the file holds this one. */
  readonly holds?: (file: GgufContents) => boolean;
  /** What config.json says in other words, from the metadata and from the keys of config.json that are known by then. */
  readonly reworded?: (own: GgufKeys, json: Json) => Reworded;
}

/** Metadata of a file's own architecture, whose name is not in front. */
export type GgufKeys = ReadonlyMap<string, unknown>;

interface Reworded {
  readonly json: Json;
  /** The keys of the metadata that it takes account of. */
  readonly keys: readonly string[];
}

/** The part of a GGUF file that configs are read from. */
export interface GgufContents {
  readonly values: ReadonlyMap<string, { readonly type: string; readonly value: unknown }>;
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  /** What `rope_freqs.weight` divides the rotary frequencies by. [headDim / 2] */
  readonly ropeFactors?: readonly number[];
  /** What `rope_factors_short.weight` and `rope_factors_long.weight` divide them by, in families that have them. */
  readonly longropeFactors?: LongropeFactors;
}

/** Factors for sequences up to the original context, and for longer ones. [rotaryDim / 2] */
export interface LongropeFactors {
  readonly short: readonly number[];
  readonly long: readonly number[];
}

/** Tensors that are part of the config. */
export const ROPE_FACTORS = "rope_freqs.weight";
export const LONGROPE_FACTORS = { short: "rope_factors_short.weight", long: "rope_factors_long.weight" } as const;

/** The keys of the families that call theirs as Llama does. */
export const GGUF_KEYS = {
  num_hidden_layers: "block_count",
  max_position_embeddings: "context_length",
  hidden_size: "embedding_length",
  intermediate_size: "feed_forward_length",
  num_attention_heads: "attention.head_count",
  num_key_value_heads: "attention.head_count_kv",
  head_dim: "attention.key_length",
  rms_norm_eps: "attention.layer_norm_rms_epsilon",
  rope_theta: "rope.freq_base",
} as const;

/** The keys of families whose layers have experts. */
export const GGUF_EXPERT_KEYS = {
  num_experts: "expert_count",
  num_experts_per_tok: "expert_used_count",
} as const;

/** Keys that do not change what a model computes, each with the reason. */
const BOOKKEEPING: Readonly<Record<string, string>> = {
  vocab_size: "the embedding has one row for each token",
  tensor_data_layout: "provenance",
  "rope.scaling.finetuned": "provenance",
};

/** Reads the metadata of one family; `finish` then refuses keys of the architecture that are not understood. */
export function ggufConfigReader(family: GgufConfig, contents: GgufContents, fileName: string): ConfigReader {
  const prefix = `${family.architecture}.`;
  const own: GgufKeys = new Map(
    [...contents.values]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, { type, value }]) => [key.slice(prefix.length), plain(type, value, `${fileName}: ${key}`)]),
  );
  const names = new Map([
    ["vocab_size", "token_embd.weight"],
    ["rope_scaling", `${prefix}rope.scaling`],
  ]);
  const json: Record<string, unknown> = {
    vocab_size: contents.tensors.get("token_embd.weight")?.shape[0],
    tie_word_embeddings: !contents.tensors.has("output.weight"),
  };
  for (const [key, ggufKey] of Object.entries(family.keys)) {
    names.set(key, `${prefix}${ggufKey}`);
    json[key] = own.get(ggufKey) ?? assumed(ggufKey, own) ?? missing(`${fileName}: ${prefix}${ggufKey}`);
  }
  for (const [key, ggufKey] of Object.entries(family.optionalKeys ?? {})) {
    names.set(key, `${prefix}${ggufKey}`);
    if (own.has(ggufKey)) json[key] = own.get(ggufKey);
  }
  for (const [flag, tensor] of Object.entries(family.flags ?? {})) {
    names.set(flag, tensor);
    json[flag] = contents.tensors.has(tensor);
  }
  const { longropeFactors, ropeFactors } = contents;
  const scaling = longropeFactors
    ? longrope(own, longropeFactors)
    : ropeScaling(own, ropeFactors, `${fileName}: ${prefix}rope.scaling`);
  if (scaling !== undefined) json.rope_scaling = scaling;
  const reworded = family.reworded?.(own, json);
  Object.assign(json, reworded?.json);
  const read = new Set([
    ...Object.values(family.keys),
    ...Object.values(family.optionalKeys ?? {}),
    ...(reworded?.keys ?? []),
    ...Object.keys(BOOKKEEPING),
    ...(longropeFactors ? LONGROPE_KEYS : ROPE_SCALING_KEYS),
  ]);
  for (const [key, value] of own) {
    const isKnown = read.has(key) || family.neutral?.[key] === value || isNeutral(key, value, own);
    if (!isKnown) json[`${prefix}${key}`] = value;
  }
  return new ConfigReader(json, fileName, names);
}

/** What llama.cpp assumes where a key is missing; undefined where it must be there. */
function assumed(key: string, own: GgufKeys): number | undefined {
  const number = (name: string): number => Number(own.get(name));
  const nHeads = number("attention.head_count");
  if (key === "attention.head_count_kv") return nHeads;
  if (key === "attention.key_length") return number("embedding_length") / nHeads;
  if (key === "expert_feed_forward_length") return number("feed_forward_length") / number("expert_used_count");
  if (key === "expert_shared_feed_forward_length") return number("feed_forward_length");
  return key === "rope.freq_base" ? 10_000 : undefined;
}

/** Whether a key that the family does not read says only what the family computes anyway. */
function isNeutral(key: string, value: unknown, own: GgufKeys): boolean {
  const headDim = own.get("attention.key_length") ?? assumed("attention.key_length", own);
  switch (key) {
    case "attention.value_length":
    case "rope.dimension_count":
      return value === headDim;
    case "attention.head_count_kv":
    case "attention.key_length":
      return value === assumed(key, own);
    case "attention.causal":
      return value === true;
    case "expert_count":
    case "expert_used_count":
      return value === 0;
    case "rope.scaling.attn_factor":
    case "rope.scaling.yarn_attn_factor":
    case "rope.scaling.yarn_ext_factor":
      return value === 1;
    default:
      return false;
  }
}

/** `rope.scaling.` and a key of `rope_scaling`. */
const ROPE_SCALING: Readonly<Record<string, string>> = {
  factor: "rope.scaling.factor",
  original_max_position_embeddings: "rope.scaling.original_context_length",
  beta_fast: "rope.scaling.yarn_beta_fast",
  beta_slow: "rope.scaling.yarn_beta_slow",
};
const ROPE_SCALING_KEYS = [...Object.values(ROPE_SCALING), "rope.scaling.type", "rope.scale_linear"];

function ropeScaling(own: GgufKeys, factors: readonly number[] | undefined, path: string): Json | undefined {
  const type = own.get("rope.scaling.type") ?? "linear";
  const factor = own.get("rope.scaling.factor") ?? own.get("rope.scale_linear") ?? 0;
  const isScaled = type !== "none" && !(type === "linear" && factor === 0);
  if (factors === undefined) {
    if (!isScaled) return undefined;
    const keys = Object.entries(ROPE_SCALING).filter(([, key]) => own.has(key));
    return { ...Object.fromEntries(keys.map(([name, key]) => [name, own.get(key)])), rope_type: type, factor };
  }
  if (!isScaled || factor === 1) return { rope_type: "factors", factors };
  const expected = "rotary frequencies must be scaled by rope_freqs.weight or by the metadata, not by both";
  throw new ConfigError("config.unsupported", { path, expected, got: `both, ${type} by ${factor} here` });
}

/** The converter writes no type of scaling beside the factors, and the factor on cos and sin worked out. */
const LONGROPE_KEYS = ["rope.scaling.attn_factor", "rope.scaling.original_context_length"];

function longrope(own: GgufKeys, { short, long }: LongropeFactors): Json {
  const factors = { rope_type: "longrope", short_factor: short, long_factor: long };
  return { ...factors, attention_factor: own.get("rope.scaling.attn_factor") ?? 1 };
}

function missing(path: string): never {
  const remedy = "The file is damaged, or was written by something that does not know this architecture.";
  throw new ConfigError("config.missing", { path, expected: "the metadata must hold this key", got: "none", remedy });
}

/** Characters or elements of a value; the longest lists have one for each layer, or for each frequency. */
const MAX_LENGTH = 4096;

/** A value as JSON would hold it. */
function plain(type: string, value: unknown, path: string): unknown {
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "number") return type === "f32" ? shortestDecimal(value) : value;
  if (typeof value === "boolean") return value;
  const { length } = value as ArrayLike<unknown>;
  if (length > MAX_LENGTH) {
    throw new ConfigError("config.value", { path, expected: `must be at most ${MAX_LENGTH} long`, got: `${length}` });
  }
  return typeof value === "string" ? value : Array.from(value as ArrayLike<unknown>, (one) => plain("", one, path));
}

/** The decimal with the fewest digits that rounds to this float32: 1e-6 where the file could only hold 9.99999997e-7. */
function shortestDecimal(float32: number): number {
  for (let nDigits = 1; nDigits < 9; nDigits++) {
    const decimal = Number(float32.toPrecision(nDigits));
    if (Math.fround(decimal) === float32) return decimal;
  }
  return Number.isFinite(float32) ? Number(float32.toPrecision(9)) : float32;
}
