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

/**
 * Reads the new form (`rope_parameters`, which holds rope_theta too) or the old one (`rope_theta`, `rope_scaling`
 * with `rope_type` or `type`). Neither: no scaling and θ = 10,000.
 */
export function readRope(r: ConfigReader, contextLength: number, headDim: number): RopeConfig {
  if (headDim % 2 !== 0) {
    throw new ConfigError("config.value", {
      path: r.pathOf("head_dim"),
      expected: "heads must have an even whole size (hidden_size / num_attention_heads where head_dim is not set)",
      got: `${headDim}`,
      remedy: "Rotary embedding turns pairs of dimensions.",
    });
  }
  const oldTheta = r.positive("rope_theta", 10_000);
  const old = r.object("rope_scaling");
  const parameters = r.object("rope_parameters");
  if (old !== undefined && parameters !== undefined) {
    throw r.invalid("rope_scaling", "absent where rope_parameters is set", "both");
  }
  const scaling = parameters ?? old;
  if (scaling === undefined) return { theta: oldTheta, scaling: { type: "default" } };
  const theta = scaling.positive("rope_theta", oldTheta);
  const result = { theta, scaling: readScaling(scaling, contextLength, headDim / 2) };
  scaling.finish();
  return result;
}

function readScaling(r: ConfigReader, contextLength: number, nPairs: number): RopeScaling {
  r.require("partial_rotary_factor", 1, "this family rotates whole heads");
  const older = r.raw("type");
  const type = (r.raw("rope_type") ?? older ?? "default") as RopeScaling["type"];
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
      };
    }
    case "longrope":
      return readLongrope(r, contextLength, nPairs);
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

/** Ding et al. 2024, arXiv:2402.13753. The factor on cos and sin is explicit, or √(1 + ln(factor) / ln(original)). */
function readLongrope(r: ConfigReader, contextLength: number, nPairs: number): RopeScaling {
  const originalContextLength = r.size("original_max_position_embeddings", contextLength);
  const factor = r.positive("factor", contextLength / originalContextLength);
  const magnitude = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContextLength));
  return {
    type: "longrope",
    shortFactors: r.positives("short_factor", nPairs),
    longFactors: r.positives("long_factor", nPairs),
    originalContextLength,
    attentionFactor: r.positive("attention_factor", magnitude),
  };
}

/** YaRN's factor on cos and sin: explicit, or from the two mscales, or 0.1 · ln(factor) + 1. */
function readAttentionFactor(r: ConfigReader, factor: number): number {
  const mscale = (m: number): number => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
  const explicit = r.has("attention_factor") ? r.positive("attention_factor") : undefined;
  const one = r.has("mscale") ? r.positive("mscale") : undefined;
  const all = r.has("mscale_all_dim") ? r.positive("mscale_all_dim") : undefined;
  if (explicit !== undefined) return explicit;
  return one !== undefined && all !== undefined ? mscale(one) / mscale(all) : mscale(1);
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
