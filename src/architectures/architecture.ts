import type { GgufConfig } from "../config/gguf.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { ConfigReader } from "../config/reader.ts";
import { beforeNorm, normDivisor } from "../nn/norm.ts";
import { KvCache, type Step } from "../nn/step.ts";
import { center, matmul, mul, selectRows, softCap, sum } from "../ops/index.ts";
import { buildTape, cacheLeaf, input, point, weight } from "../tape/builder.ts";
import type { Tape } from "../tape/tape.ts";
import type { KvType, Value } from "../tape/value.ts";
import type { IgnoredTensors } from "../weights/bind.ts";
import { type Bound, boundTree, stored, type WeightSpec, type WeightTree } from "../weights/schema.ts";

/** Whether a checkpoint holds the tensor of a weight. */
export type HasWeight = (spec: WeightSpec) => boolean;

/** The weights that every family has under these names. */
interface FinalWeights {
  readonly lnFinal: { readonly gain: WeightSpec; readonly bias?: WeightSpec };
  /** [vocabSize, dModel]; the embedding's own spec where the two are tied. */
  readonly unembed: WeightSpec;
}

/** One family of models: how its config reads, which weights it has, and what it computes. */
interface Definition<C extends ModelConfig, W extends WeightTree, B> {
  readonly name: string;
  /** The `model_type`s of config.json that it takes. */
  readonly modelTypes: readonly string[];
  /** Points of the field's vocabulary that the family does not have, with the reason. */
  readonly absentPoints: Readonly<Record<string, string>>;
  /** What files of this family may hold beyond the weights. */
  readonly ignoredTensors: readonly IgnoredTensors[];
  /** As `ignoredTensors`, where it depends on the config which they are. */
  ignoredBy?(c: C): readonly IgnoredTensors[];
  /** Start of every tensor name that some files leave out. */
  readonly prefix: string;
  config(r: ConfigReader, modelType: string): C;
  /** How GGUF files say the same; undefined where no GGUF file holds this family. */
  readonly gguf?: GgufConfig<C>;
  weights(c: C, has: HasWeight): W;
  /** What the cache of a layer holds of each token: heads, and the sizes of a key and of a value; as in ModelConfig where undefined. */
  cacheShape?(c: C): readonly [nHeads: number, kDim: number, vDim: number];
  /** Tokens to the residual stream after the last block. [T, dModel] */
  forward(c: C, w: B, step: Step): Value;
  /** Any residual stream to logits: the final norm and the unembedding, of the wanted rows only. [R, vocabSize] */
  unembed(c: C, w: B, resid: Value, wanted?: Value): Value;
}

/** Any family; only its own functions know what is in its config and weights. */
export type Architecture = Definition<ModelConfig, WeightTree, unknown>;

/** Checks that a family's functions fit its own config and weights, which then are its own business. */
export function defineArchitecture<C extends ModelConfig, W extends FinalWeights & WeightTree>(
  definition: Definition<C, W, Bound<W>>,
): Architecture {
  return definition as unknown as Architecture;
}

/**
 * Embedding and unembedding, which are one weight where the config ties them or the file has no unembedding. A file may
 * hold that one under either name.
 */
export function tieEmbedding(embed: WeightSpec, unembed: WeightSpec, tied: boolean, has: HasWeight) {
  if (!tied && has(unembed)) return { embed, unembed };
  const both = !has(embed) && has(unembed) ? unembed : embed;
  return { embed: both, unembed: both };
}

/** `tieEmbedding` of a family that calls both as Llama does. */
export function embeddings(
  { vocabSize, dModel, tiedEmbedding }: ModelConfig & { readonly tiedEmbedding: boolean },
  has: HasWeight,
) {
  const embed = stored("model.embed_tokens.weight", [vocabSize, dModel], { gguf: "token_embd.weight" });
  const unembed = stored("lm_head.weight", [vocabSize, dModel], { gguf: "output.weight" });
  return tieEmbedding(embed, unembed, tiedEmbedding, has);
}

/** Why layers with experts lack some points: those of an MLP, and those of routers that choose in another way. */
export const ABSENT_WITH_EXPERTS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ["pre", "preLinear", "post"].map((part) => [
      `mlp.${part}`,
      `a layer with experts has experts.${part}, of those that each token goes to`,
    ]),
  ),
  "router.biasedScores": "no bias takes part in the choice of experts",
  "router.groupScores": "experts are not in groups",
  "router.groupMask": "experts are not in groups",
};

/** Why families without a shared expert lack its points. */
export const ABSENT_WITHOUT_SHARED: Readonly<Record<string, string>> = Object.fromEntries(
  ["pre", "preLinear", "post", "out", "gate", "contribution"].map((part) => [
    `shared.${part}`,
    "no expert is shared by all tokens",
  ]),
);

/** Rows of `x` that are wanted, or all of them. */
export function wantedRows(x: Value, wanted: Value | undefined): Value {
  return wanted === undefined ? x : selectRows(x, wanted);
}

/** Logits kept within ±cap, in models that cap them. [R, vocabSize] -> [R, vocabSize] */
export function cappedLogits(logits: Value, cap: number | undefined): Value {
  return cap === undefined ? logits : softCap(point("logitsBeforeSoftcap", logits), { cap });
}

/** A model of one architecture and config with its declared weights: everything that follows without a checkpoint. */
export class ModelTape {
  readonly tape: Tape;
  readonly #architecture: Architecture;
  readonly #config: ModelConfig;
  readonly #bound: Bound<FinalWeights>;

  constructor(architecture: Architecture, config: ModelConfig, weights: WeightTree, kv: KvType = "f32") {
    this.#architecture = architecture;
    this.#config = config;
    this.#bound = boundTree(weights, (name, { shape }) => weight(name, shape)) as Bound<FinalWeights>;
    this.tape = buildTape(architecture.name, () => this.#build(kv));
  }

  /** The family's own final norm and unembedding on any residual stream [n, dModel]; call it while extending a tape. */
  unembed(resid: Value): Value {
    return this.#architecture.unembed(this.#config, this.#bound, resid);
  }

  /**
   * What a vector [n, dModel] in the residual stream adds to the logits, times the final norm's divisor: the linear
   * part of `unembed`. [n, vocabSize]
   */
  readout(vector: Value): Value {
    const { lnFinal, unembed } = this.#bound;
    // A LayerNorm, unlike an RMSNorm, takes the mean away first.
    const seen = lnFinal.bias === undefined ? vector : center(vector);
    return matmul(mul(seen, lnFinal.gain), unembed);
  }

  /**
   * The logits of some tokens, before anything that may follow the unembedding, as a function of the residual stream:
   * x · direction / divisor + bias. Directions [n, dModel]; biases [n] where the final norm has one.
   */
  logitDirections(tokens: Value): { readonly directions: Value; readonly biases: Value | undefined } {
    const { lnFinal, unembed } = this.#bound;
    const rows = selectRows(unembed, tokens);
    return {
      directions: beforeNorm(rows, lnFinal),
      biases: lnFinal.bias === undefined ? undefined : sum(mul(rows, lnFinal.bias)),
    };
  }

  /** What the final norm divides a residual stream by. [n, dModel] -> [n, 1] */
  finalDivisor(resid: Value): Value {
    return normDivisor(resid, this.#bound.lnFinal, this.#config);
  }

  #build(kv: KvType): Record<string, Value> {
    const { nLayers, nKvHeads, headDim } = this.#config;
    const shape = this.#architecture.cacheShape?.(this.#config) ?? [nKvHeads, headDim, headDim];
    const caches = Array.from({ length: nLayers }, (_, i) => cacheLeaf(`cache.${i}`, shape, { type: kv }));
    const step: Step = {
      tokens: input("tokens", "int", ["T"]),
      rows: input("rows", "rows"),
      cache: new KvCache(caches, kv),
    };
    const wanted = input("R0", "int", ["R0"]);
    const resid = this.#architecture.forward(this.#config, this.#bound, step);
    return { logits: point("logits", this.#architecture.unembed(this.#config, this.#bound, resid, wanted)) };
  }
}
