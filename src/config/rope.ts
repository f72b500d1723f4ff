import { ConfigError } from "../errors.ts";
import type { ConfigReader } from "./reader.ts";

/**
 * Rotary position embeddings as a config describes them, reduced to what is computed: one frequency for each pair of
 * dimensions and one factor on cos and sin. Formulas: transformers `modeling_rope_utils.py`.
 */
export interface RopeConfig {
  readonly theta: number;
  readonly scaling: RopeScaling;
}

export type RopeScaling =
  | { readonly type: "default" }
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalContextLength: number;
    }
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly truncate: boolean;
      readonly originalContextLength: number;
      /** On cos and sin. */
      readonly attentionFactor: number;
      /** What DeepSeek also scales the scores by: see `ropeScoreFactor`. */
      readonly mscaleAllDim: number | undefined;
    }
  | {
      readonly type: "longrope";
      /** For each pair of dimensions what its frequency is divided by, in sequences up to the original context. */
      readonly shortFactors: readonly number[];
      /** The same, in longer ones. */
      readonly longFactors: readonly number[];
      readonly originalContextLength: number;
      /** On cos and sin. */
      readonly attentionFactor: number;
    }
  | {
      /** Only in GGUF files: whatever the scaling is, worked out. */
      readonly type: "factors";
      /** For each pair of dimensions what its frequency is divided by. */
      readonly factors: readonly number[];
    };

const SUPPORTED = ["default", "linear", "llama3", "yarn", "longrope"];

interface RopeOptions {
  /** The base where the config has none; 10,000 where undefined. */
  readonly defaultTheta?: number;
  /** The part of each head that turns, as `readPartialRotaryFactor` has it; all of it where undefined. */
  readonly partialRotaryFactor?: number;
  /** The key that says how many dimensions turn, where it is not `head_dim`. */
  readonly dimKey?: string;
  /** Where the config says it beside the scaling; otherwise it is read with the scaling. */
  readonly originalContextLength?: number;
  /** Further names that files of the family have for longrope. */
  readonly longropeNames?: readonly string[];
}

/**
 * Reads the new form (`rope_parameters`, which holds rope_theta too) or the old one (`rope_theta`, `rope_scaling`
 * with `rope_type` or `type`). Neither: no scaling.
 */
export function readRope(
  r: ConfigReader,
  contextLength: number,
  headDim: number,
  options: RopeOptions = {},
): RopeConfig {
  const theta = r.positive("rope_theta", options.defaultTheta ?? 10_000);
  const [old, parameters] = scalingsOf(r);
  return ropeOf(parameters ?? old, theta, { contextLength, rotaryDim: checkedRotaryDim(r, headDim, options) }, options);
}

/** The rotary embeddings of layers that see everything and of those that see a window. */
interface LayerRopes {
  readonly full: RopeConfig;
  readonly sliding: RopeConfig;
}

/**
 * As `readRope`, where the two kinds of layer turn differently (Gemma 3): the new form has `rope_parameters` for each
 * kind; in the old one `rope_local_base_freq` is the base of windowed layers, which are never scaled.
 */
export function readLayerRopes(r: ConfigReader, contextLength: number, headDim: number): LayerRopes {
  const sizes = { contextLength, rotaryDim: checkedRotaryDim(r, headDim, {}) };
  const [theta, localTheta] = [r.positive("rope_theta", 1_000_000), r.positive("rope_local_base_freq", 10_000)];
  const [old, parameters] = scalingsOf(r);
  const full = ropeOf(parameters?.object("full_attention") ?? old, theta, sizes, {});
  const sliding = ropeOf(parameters?.object("sliding_attention"), localTheta, sizes, {});
  parameters?.finish();
  return { full, sliding };
}

/** The part of each head that turns (Phi-4): said beside the scaling, or in it. */
export function readPartialRotaryFactor(r: ConfigReader): number {
  const beside = r.positive("partial_rotary_factor", 1);
  const [old, parameters] = scalingsOf(r);
  const factor = (parameters ?? old)?.positive("partial_rotary_factor", beside) ?? beside;
  if (factor > 1) throw r.invalid("partial_rotary_factor", "at most 1", factor);
  return factor;
}

/** Dimensions of a head that turn. */
export function rotaryDimOf(headDim: number, partialRotaryFactor: number): number {
  return Math.floor(headDim * partialRotaryFactor);
}

/** Far beyond any model: each pair takes memory before any weight has been found. */
const MAX_ROTARY_DIM = 2 ** 16;

function checkedRotaryDim(r: ConfigReader, headDim: number, { partialRotaryFactor = 1, dimKey }: RopeOptions): number {
  const isPartial = partialRotaryFactor !== 1;
  const rotaryDim = isPartial ? rotaryDimOf(headDim, partialRotaryFactor) : headDim;
  if (rotaryDim % 2 === 0 && rotaryDim > 0 && rotaryDim <= MAX_ROTARY_DIM) return rotaryDim;
  const isWhole = !isPartial && dimKey === undefined;
  throw new ConfigError("config.value", {
    path: r.pathOf(isPartial ? "partial_rotary_factor" : (dimKey ?? "head_dim")),
    expected: isWhole
      ? `heads must have an even whole size up to ${MAX_ROTARY_DIM} (hidden_size / num_attention_heads where head_dim is not set)`
      : `the part of a head that turns must have an even whole size up to ${MAX_ROTARY_DIM}`,
    got: `${rotaryDim}`,
    remedy: "Rotary embedding turns pairs of dimensions.",
  });
}

/** The objects of the old form and of the new one, of which a config has one at most. */
function scalingsOf(r: ConfigReader): readonly [old: ConfigReader | undefined, parameters: ConfigReader | undefined] {
  const [old, parameters] = [r.object("rope_scaling"), r.object("rope_parameters")];
  if (old === undefined || parameters === undefined) return [old, parameters];
  throw r.invalid("rope_scaling", "absent where rope_parameters is set", "both");
}

interface RopeSizes {
  readonly contextLength: number;
  readonly rotaryDim: number;
}

/** `theta` holds where the object, if there is one, does not say it. */
function ropeOf(r: ConfigReader | undefined, theta: number, sizes: RopeSizes, options: RopeOptions): RopeConfig {
  if (r === undefined) return { theta, scaling: { type: "default" } };
  const result = { theta: r.positive("rope_theta", theta), scaling: readScaling(r, sizes, options) };
  r.finish();
  return result;
}

function readScaling(
  r: ConfigReader,
  { contextLength, rotaryDim }: RopeSizes,
  { partialRotaryFactor = 1, originalContextLength, longropeNames = [] }: RopeOptions,
): RopeScaling {
  r.require("partial_rotary_factor", partialRotaryFactor, "this family rotates whole heads");
  const nPairs = rotaryDim / 2;
  const older = r.raw("type");
  const named = r.raw("rope_type") ?? older ?? "default";
  const type = (longropeNames.includes(named as string) ? "longrope" : named) as RopeScaling["type"];
  if (originalContextLength !== undefined) {
    r.require("original_max_position_embeddings", originalContextLength, "as the config says outside of the scaling");
  }
  switch (type) {
    case "default":
      return { type };
    case "linear":
      return { type, factor: r.positive("factor") };
    case "llama3":
      return {
        type,
        factor: r.positive("factor"),
        lowFreqFactor: r.positive("low_freq_factor"),
        highFreqFactor: r.positive("high_freq_factor"),
        originalContextLength: r.size("original_max_position_embeddings"),
      };
    case "yarn": {
      const factor = r.positive("factor");
      return {
        type,
        factor,
        betaFast: r.positive("beta_fast", 32),
        betaSlow: r.positive("beta_slow", 1),
        truncate: r.flag("truncate", true),
        originalContextLength: r.size("original_max_position_embeddings", contextLength),
        attentionFactor: readAttentionFactor(r, factor),
        mscaleAllDim: readMscale(r, "mscale_all_dim"),
      };
    }
    case "longrope":
      return readLongrope(r, { contextLength, originalContextLength, nPairs });
    case "factors":
      return { type, factors: r.positives("factors", nPairs) };
    default:
      throw new ConfigError("config.unsupported", {
        path: `${r.fileName}: rope_type`,
        expected: `the supported rope scalings are ${SUPPORTED.join(", ")}`,
        got: JSON.stringify(type).replace('"dynamic"', "dynamic (dynamic NTK)"),
        remedy: "This checkpoint's positions would come out wrong, so it is refused.",
      });
  }
}

interface LongropeSizes {
  readonly contextLength: number;
  readonly originalContextLength: number | undefined;
  readonly nPairs: number;
}

/** Ding et al. 2024, arXiv:2402.13753. The factor on cos and sin is explicit, or √(1 + ln(factor) / ln(original)). */
function readLongrope(r: ConfigReader, { contextLength, originalContextLength, nPairs }: LongropeSizes): RopeScaling {
  const original = originalContextLength ?? r.size("original_max_position_embeddings", contextLength);
  const factor = r.positive("factor", contextLength / original);
  const magnitude = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  return {
    type: "longrope",
    shortFactors: r.positives("short_factor", nPairs),
    longFactors: r.positives("long_factor", nPairs),
    originalContextLength: original,
    attentionFactor: r.positive("attention_factor", magnitude),
  };
}

/** YaRN's factor on cos and sin: explicit, or from the two mscales, or 0.1 · ln(factor) + 1. */
function readAttentionFactor(r: ConfigReader, factor: number): number {
  const explicit = r.has("attention_factor") ? r.positive("attention_factor") : undefined;
  const [one, all] = [readMscale(r, "mscale"), readMscale(r, "mscale_all_dim")];
  if (explicit !== undefined) return explicit;
  return one !== undefined && all !== undefined ? mscale(factor, one) / mscale(factor, all) : mscale(factor, 1);
}

/** Far beyond any model, and far from what a square of it overflows. */
const MAX_MSCALE = 1e6;

function readMscale(r: ConfigReader, key: string): number | undefined {
  const given = r.positiveOrNull(key);
  if (given !== undefined && given > MAX_MSCALE) throw r.invalid(key, `at most ${MAX_MSCALE}`, given);
  return given;
}

/** By how much attention sharpens where the context is stretched by a factor (arXiv:2309.00071, §3.4). */
function mscale(factor: number, m: number): number {
  return factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1;
}

/** Frequency of each pair of `rotaryDim` dimensions, in radians per position. [rotaryDim / 2] */
export function ropeFrequencies({ theta, scaling }: RopeConfig, rotaryDim: number, variant = 0): Float64Array {
  const plain = Float64Array.from({ length: rotaryDim / 2 }, (_, i) => theta ** ((-2 * i) / rotaryDim));
  switch (scaling.type) {
    case "default":
      return plain;
    case "linear":
      return plain.map((f) => f / scaling.factor);
    case "llama3":
      return plain.map((f) => llama3Frequency(f, scaling));
    case "yarn":
      return yarnFrequencies(plain, theta, scaling);
    case "longrope": {
      const factors = variant === 0 ? scaling.shortFactors : scaling.longFactors;
      return plain.map((f, i) => f / factors[i]);
    }
    case "factors":
      return plain.map((f, i) => f / scaling.factors[i]);
  }
}

/** Sets of frequencies, of which each sequence uses one: see `ropeVariant`. */
export function nRopeVariants({ scaling }: RopeConfig): number {
  return scaling.type === "longrope" ? 2 : 1;
}

/**
 * Which set of frequencies a sequence uses that is to hold `length` tokens. It is chosen once: cached keys stay turned
 * as they were, and others beside them would make positions meaningless.
 */
export function ropeVariant(rope: RopeConfig | undefined, length: number): number {
  return rope?.scaling.type === "longrope" && length > rope.scaling.originalContextLength ? 1 : 0;
}

/** Factor on cos and sin. */
export function ropeMagnitude({ scaling }: RopeConfig): number {
  return scaling.type === "yarn" || scaling.type === "longrope" ? scaling.attentionFactor : 1;
}

/** Factor on the scores in DeepSeek's families, where only part of a query turns (`yarn_apply_mscale` of transformers). */
export function ropeScoreFactor({ scaling }: RopeConfig): number {
  if (scaling.type !== "yarn" || scaling.mscaleAllDim === undefined) return 1;
  return mscale(scaling.factor, scaling.mscaleAllDim) ** 2;
}

/** Long wavelengths are stretched, short ones kept, and those between blended (Llama 3.1). */
function llama3Frequency(f: number, s: Extract<RopeScaling, { type: "llama3" }>): number {
  const wavelength = (2 * Math.PI) / f;
  if (wavelength > s.originalContextLength / s.lowFreqFactor) return f / s.factor;
  if (wavelength < s.originalContextLength / s.highFreqFactor) return f;
  const smooth = (s.originalContextLength / wavelength - s.lowFreqFactor) / (s.highFreqFactor - s.lowFreqFactor);
  return ((1 - smooth) * f) / s.factor + smooth * f;
}

/** NTK by parts (Peng et al. 2023, arXiv:2309.00071, §3.2): a ramp over dimensions between two numbers of rotations. */
function yarnFrequencies(plain: Float64Array, theta: number, s: Extract<RopeScaling, { type: "yarn" }>): Float64Array {
  const rotaryDim = 2 * plain.length;
  const dimOf = (rotations: number): number =>
    (rotaryDim * Math.log(s.originalContextLength / (2 * Math.PI * rotations))) / (2 * Math.log(theta));
  const [from, to] = [dimOf(s.betaFast), dimOf(s.betaSlow)];
  const low = Math.max(s.truncate ? Math.floor(from) : from, 0);
  const high = Math.min(s.truncate ? Math.ceil(to) : to, rotaryDim - 1);
  const width = high === low ? 0.001 : high - low;
  return plain.map((f, i) => {
    const ramp = Math.min(1, Math.max(0, (i - low) / width));
    return (f / s.factor) * ramp + f * (1 - ramp);
  });
}
