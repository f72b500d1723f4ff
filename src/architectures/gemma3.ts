import { GGUF_KEYS } from "../config/gguf.ts";
import { windowsByType } from "../config/layer-windows.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { ConfigReader } from "../config/reader.ts";
import { type RopeConfig, readLayerRopes } from "../config/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { rmsNorm } from "../nn/norm.ts";
import { rotary } from "../nn/rotary.ts";
import { add, matmul, scaleBy, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import { attentionWeights, gatedMlpWeights } from "../weights/llama-names.ts";
import { stored, storedIn, type WeightSpec } from "../weights/schema.ts";
import { cappedLogits, defineArchitecture, type HasWeight, tieEmbedding, wantedRows } from "./architecture.ts";

/**
 * Gemma 3 (arXiv:2503.19786): its text models, and of those that take images (`model_type: "gemma3"`) the text.
 *
 * - as Gemma 2: embeddings times √dModel (in float32), RMSNorm whose gain checkpoints store less 1, norms before and after
 *   attention and the MLP, GeGLU with the tanh GELU, scores scaled by 1/√query_pre_attn_scalar; no caps
 * - RMSNorm over each head of q and k before the rotary embedding, its gain shared by the heads
 * - a sliding window in all but every sixth layer, with a rotary embedding of its own: θ 1e4, never scaled; the others
 *   have θ 1e6, scaled linearly from 4B on
 * - grouped-query attention, unembedding tied to the embedding
 *
 * Reference: transformers `modeling_gemma3.py`.
 */
interface Gemma3Config extends ModelConfig {
  /** Of layers that see everything. */
  readonly rope: RopeConfig;
  /** Of layers with a window. */
  readonly slidingRope: RopeConfig;
  /** For each layer the number of keys that a row sees; undefined for all before it. */
  readonly windows: readonly (number | undefined)[];
  /** On q · k. */
  readonly scoreScale: number;
  /** What logits are kept within; undefined for no cap. */
  readonly finalSoftcap: number | undefined;
  readonly tiedEmbedding: boolean;
  /** Whether the weights are those of a model that takes images as well. */
  readonly takesImages: boolean;
}

/** Keys of models that take images which say how these become tokens. */
const IMAGE_KEYS = ["vision_config", "mm_tokens_per_image", "boi_token_index", "eoi_token_index", "image_token_index"];

const IMAGE_WEIGHTS = {
  pattern: /^(model\.)?(vision_tower|multi_modal_projector)\./,
  reason: "for images, which golgi does not read",
};

/** What a text model's `model` is called where images are taken: in published files, and in transformers itself. */
const TEXT_PARTS = ["language_model.model", "model.language_model"];

/** The layers of the 27B model, whose scores llama.cpp scales by another number than those of all others. */
const N_LAYERS_27B = 62;

export const gemma3 = defineArchitecture({
  name: "gemma3",
  modelTypes: ["gemma3_text", "gemma3"],
  prefix: "model.",
  absentPoints: { posEmbed: "positions enter through the rotary embedding of q and k" },
  ignoredTensors: [
    { pattern: /rotary_emb.*inv_freq$/, reason: "follows from the config" },
    { pattern: /^(language_model\.)?lm_head\.weight$/, reason: "tied to the embedding" },
  ],
  ignoredBy: ({ takesImages }) => (takesImages ? [IMAGE_WEIGHTS] : []),

  config(whole, modelType): Gemma3Config {
    const takesImages = modelType === "gemma3";
    const r = takesImages ? textPart(whole) : whole;
    const headDim = r.size("head_dim", 256);
    const nLayers = r.layerCount("num_hidden_layers");
    const contextLength = r.size("max_position_embeddings", 131_072);
    const window = r.sizeOrNull("sliding_window", 4096);
    const period = r.size(r.has("_sliding_window_pattern") ? "_sliding_window_pattern" : "sliding_window_pattern", 6);
    const { full, sliding } = readLayerRopes(r, contextLength, headDim);
    r.choice("hidden_act", ["gelu_pytorch_tanh", "gelu"], "gelu_pytorch_tanh");
    r.require("hidden_activation", "gelu_pytorch_tanh", "the activation of this family");
    r.require("attention_bias", false, "as in all released models");
    r.require("use_bidirectional_attention", false, "golgi runs decoders");
    const config = {
      vocabSize: r.size("vocab_size", 262_208),
      dModel: r.size("hidden_size"),
      nLayers,
      nHeads: r.size("num_attention_heads", 8),
      nKvHeads: r.size("num_key_value_heads", 4),
      headDim,
      dFf: r.size("intermediate_size"),
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-6),
      rope: full,
      slidingRope: sliding,
      windows: windowsByType(r, nLayers, window, (layer) => (layer + 1) % period !== 0),
      scoreScale: r.positive("query_pre_attn_scalar", 256) ** -0.5,
      finalSoftcap: r.positiveOrNull("final_logit_softcapping"),
      tiedEmbedding: r.flag("tie_word_embeddings", whole.flag("tie_word_embeddings", true)),
      takesImages,
    };
    if (takesImages) r.finish();
    return config;
  },

  gguf: {
    architecture: "gemma3",
    modelType: "gemma3_text",
    className: "Gemma3ForCausalLM",
    keys: { ...GGUF_KEYS, sliding_window: "attention.sliding_window" },
    optionalKeys: {
      rope_local_base_freq: "rope.freq_base_swa",
      sliding_window_pattern: "attention.sliding_window_pattern",
    },
    entries: {
      "attention.sliding_window": { type: "u32", of: ({ windows }) => windows.find((window) => window !== undefined) },
      "attention.sliding_window_pattern": {
        type: "u32",
        of: ({ windows }) => windows.indexOf(undefined) + 1 || undefined,
      },
      "rope.freq_base_swa": { type: "f32", of: ({ slidingRope }) => slidingRope.theta },
    },
    reworded(_, { num_hidden_layers, hidden_size, num_attention_heads, head_dim }) {
      const is27B = num_hidden_layers === N_LAYERS_27B;
      const scalar = is27B ? Math.floor(Number(hidden_size) / Number(num_attention_heads)) : head_dim;
      return { json: { query_pre_attn_scalar: scalar }, keys: [] };
    },
  },

  weights(c: Gemma3Config, has: HasWeight) {
    const { dModel, vocabSize } = c;
    const gain = { offset: 1 };
    const tableIn = (model: string): WeightSpec =>
      stored(`${model}.embed_tokens.weight`, [vocabSize, dModel], { gguf: "token_embd.weight" });
    const models = c.takesImages ? TEXT_PARTS : ["model"];
    const model = models.find((name) => has(tableIn(name))) ?? models[0];
    const table = tableIn(model);
    const headName = model === TEXT_PARTS[0] ? "language_model.lm_head.weight" : "lm_head.weight";
    const head = stored(headName, [vocabSize, dModel], { gguf: "output.weight" });
    const { embed, unembed } = tieEmbedding(table, head, c.tiedEmbedding, has);
    return {
      embed,
      blocks: Array.from({ length: c.nLayers }, (_, i) => {
        const at = storedIn(`${model}.layers.${i}`, `blk.${i}`);
        return {
          ln1: { gain: at("input_layernorm.weight", "attn_norm.weight", [dModel], gain) },
          attn: {
            ...attentionWeights(at, c),
            qNorm: { gain: at("self_attn.q_norm.weight", "attn_q_norm.weight", [c.headDim], gain) },
            kNorm: { gain: at("self_attn.k_norm.weight", "attn_k_norm.weight", [c.headDim], gain) },
          },
          ln1Post: { gain: at("post_attention_layernorm.weight", "post_attention_norm.weight", [dModel], gain) },
          ln2: { gain: at("pre_feedforward_layernorm.weight", "ffn_norm.weight", [dModel], gain) },
          mlp: gatedMlpWeights(at, c),
          ln2Post: { gain: at("post_feedforward_layernorm.weight", "post_ffw_norm.weight", [dModel], gain) },
        };
      }),
      lnFinal: { gain: stored(`${model}.norm.weight`, [dModel], { gguf: "output_norm.weight", ...gain }) },
      unembed,
    };
  },

  forward(c, w, { tokens, rows, cache }) {
    const rotateFully = rotary(c.rope, c.headDim, rows);
    const rotateInWindow = rotary(c.slidingRope, c.headDim, rows, "slidingRopeFreqs");
    let resid = point("embed", scaleBy(selectRows(w.embed, tokens), { factor: Math.sqrt(c.dModel) })); // [T, dModel]
    for (const [i, block] of w.blocks.entries()) {
      scope(`blocks.${i}`, () => {
        point("residPre", resid);
        const window = c.windows[i];
        const rotate = window === undefined ? rotateFully : rotateInWindow;
        const { qNorm, kNorm } = block.attn;
        const attnOut = selfAttention(rmsNorm(resid, block.ln1, c), block.attn, c, rows, cache.layer(i), {
          prepare: (q, k, rounded) => rotate(rmsNorm(q, qNorm, c), rmsNorm(k, kNorm, c), rounded),
          window,
          scale: c.scoreScale,
        });
        resid = point("residMid", add(resid, point("attn.contribution", rmsNorm(attnOut, block.ln1Post, c))));
        const mlpOut = gatedMlp(rmsNorm(resid, block.ln2, c), block.mlp, "geluTanh");
        resid = point("residPost", add(resid, point("mlp.contribution", rmsNorm(mlpOut, block.ln2Post, c))));
      });
    }
    return resid;
  },

  unembed(c, w, resid, wanted) {
    const logits = matmul(wantedRows(rmsNorm(resid, w.lnFinal, c), wanted), w.unembed); // [R, vocabSize]
    return cappedLogits(logits, c.finalSoftcap);
  },
});

/** The config of the text part. */
function textPart(whole: ConfigReader): ConfigReader {
  for (const key of IMAGE_KEYS) whole.raw(key);
  const text = whole.object("text_config");
  if (text === undefined) throw whole.invalid("text_config", "an object", undefined);
  text.require("model_type", "gemma3_text", "the text part of this family");
  return text;
}
