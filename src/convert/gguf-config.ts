/** A model's config in the words of GGUF, as llama.cpp's converter writes it. */

import type { GgufValue } from "../checkpoint/gguf-values.ts";
import { type GgufConfig, LONGROPE_FACTORS, ROPE_FACTORS } from "../config/gguf.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { type RopeConfig, ropeFrequencies } from "../config/rope.ts";
import { ConfigError } from "../errors.ts";

/** What the keys of the families' tables (`GgufConfig.keys`) say about a model. */
const VALUES: Readonly<Record<string, (config: ModelConfig) => GgufValue | undefined>> = {
  block_count: ({ nLayers }) => integer(nLayers),
  context_length: ({ contextLength }) => integer(contextLength),
  embedding_length: ({ dModel }) => integer(dModel),
  feed_forward_length: ({ dFf }) => integer(dFf),
  "attention.head_count": ({ nHeads }) => integer(nHeads),
  "attention.head_count_kv": ({ nKvHeads }) => integer(nKvHeads),
  "attention.key_length": ({ headDim }) => integer(headDim),
  "attention.layer_norm_epsilon": ({ normEps }) => real(normEps),
  "attention.layer_norm_rms_epsilon": ({ normEps }) => real(normEps),
  "rope.freq_base": ({ rope }) => rope && real(rope.theta),
  expert_count: ({ sparse }) => sparse && integer(sparse.nExperts),
  expert_used_count: ({ sparse }) => sparse && integer(sparse.nExpertsPerToken),
  expert_feed_forward_length: ({ sparse }) => sparse && integer(sparse.dExpert),
  expert_shared_feed_forward_length: ({ sparse }) => sparse && integer(sparse.dShared),
};

/** The keys of the config, `{architecture}.` in front. */
export function ggufConfigValues(gguf: GgufConfig, config: ModelConfig): Map<string, GgufValue> {
  const { vocabSize, headDim, rope } = config;
  const values = new Map<string, GgufValue | undefined>();
  for (const key of [...Object.values(gguf.keys), ...Object.keys(gguf.entries ?? {})]) {
    values.set(key, valueOfKey(key, config, gguf));
  }
  if (values.has("attention.key_length") && !values.has("attention.value_length")) {
    values.set("attention.value_length", integer(headDim));
  }
  values.set("vocab_size", integer(vocabSize));
  if (rope !== undefined) {
    if (!values.has("rope.dimension_count")) values.set("rope.dimension_count", integer(headDim));
    for (const [key, value] of ropeScaling(rope, gguf)) values.set(key, value);
  }
  const found = [...values].flatMap(([key, value]): [string, GgufValue][] =>
    value === undefined ? [] : [[`${gguf.architecture}.${key}`, value]],
  );
  return new Map(found);
}

function valueOfKey(key: string, config: ModelConfig, { entries }: GgufConfig): GgufValue | undefined {
  const own = entries?.[key];
  if (own !== undefined) {
    const value = own.of(config);
    return value === undefined ? undefined : { type: own.type, value };
  }
  const value = VALUES[key];
  if (value !== undefined) return value(config);
  const expected = "the converter must know what a key of the family's table says";
  throw new ConfigError("config.unsupported", {
    path: `convert: ${key}`,
    expected,
    got: "a key that it does not know",
  });
}

function ropeScaling({ scaling }: RopeConfig, gguf: GgufConfig): [string, GgufValue][] {
  switch (scaling.type) {
    case "default":
      return [];
    case "linear":
      return [
        ["rope.scaling.type", text("linear")],
        ["rope.scaling.factor", real(scaling.factor)],
      ];
    case "yarn":
      return [
        ["rope.scaling.type", text("yarn")],
        ["rope.scaling.factor", real(scaling.factor)],
        ["rope.scaling.original_context_length", integer(scaling.originalContextLength)],
        ["rope.scaling.yarn_beta_fast", real(scaling.betaFast)],
        ["rope.scaling.yarn_beta_slow", real(scaling.betaSlow)],
      ];
    case "longrope":
      // Elsewhere reading it back shows what is lost.
      if (!gguf.hasLongropeFactors) return [];
      return [
        ["rope.scaling.original_context_length", integer(scaling.originalContextLength)],
        ["rope.scaling.attn_factor", real(scaling.attentionFactor)],
      ];
    default:
      if (gguf.hasRopeFactors) return [];
      throw new ConfigError("config.unsupported", {
        path: "convert: rope_scaling",
        expected: "llama.cpp must read rope_freqs.weight for this family, which is how GGUF says such a scaling",
        got: scaling.type,
        remedy: "Convert to a folder instead.",
      });
  }
}

/** The tensors that say what the frequency of each pair of dimensions is divided by. */
export function ropeFactors({ rope, headDim }: ModelConfig, gguf: GgufConfig): Map<string, Float32Array<ArrayBuffer>> {
  const tensors = new Map<string, Float32Array<ArrayBuffer>>();
  if (rope === undefined) return tensors;
  const { theta, scaling } = rope;
  if (scaling.type === "longrope" && gguf.hasLongropeFactors) {
    tensors.set(LONGROPE_FACTORS.short, Float32Array.from(scaling.shortFactors));
    tensors.set(LONGROPE_FACTORS.long, Float32Array.from(scaling.longFactors));
  } else if (scaling.type === "factors") {
    tensors.set(ROPE_FACTORS, Float32Array.from(scaling.factors));
  } else if (scaling.type === "llama3") {
    const plain = ropeFrequencies({ theta, scaling: { type: "default" } }, headDim);
    tensors.set(
      ROPE_FACTORS,
      Float32Array.from(ropeFrequencies(rope, headDim), (scaled, i) => plain[i] / scaled),
    );
  }
  return tensors;
}

export function integer(value: number): GgufValue {
  return { type: "u32", value };
}

export function text(value: string): GgufValue {
  return { type: "string", value };
}

function real(value: number): GgufValue {
  return { type: "f32", value };
}
