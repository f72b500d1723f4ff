import { GGUF_KEYS } from "../config/gguf.ts";
import { windowsByType } from "../config/layer-windows.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { type RopeConfig, readRope } from "../config/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { rmsNorm } from "../nn/norm.ts";
import { rotary } from "../nn/rotary.ts";
import { add, matmul, scaleBy, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import { attentionWeights, gatedMlpWeights } from "../weights/llama-names.ts";
import { stored, storedIn } from "../weights/schema.ts";
import { cappedLogits, defineArchitecture, embeddings, type HasWeight, wantedRows } from "./architecture.ts";

/**
 * Gemma 2 (arXiv:2408.00118).
 *
 * - as Gemma: embeddings times √dModel (in float32), RMSNorm whose gain checkpoints store less 1, GeGLU with the tanh GELU
 * - norms before and after attention and the MLP: what follows the second one is added to the residual stream
 * - a sliding window in every other layer, from the first one on
 * - scores scaled by 1/√query_pre_attn_scalar; scores and logits capped with tanh
 * - grouped-query attention, rotary embedding, unembedding tied to the embedding
 *
 * Reference: transformers `modeling_gemma2.py`.
 */
interface Gemma2Config extends ModelConfig {
  readonly rope: RopeConfig;
  /** For each layer the number of keys that a row sees; undefined for all before it. */
  readonly windows: readonly (number | undefined)[];
  /** On q · k. */
  readonly scoreScale: number;
  /** What scores and logits are kept within; undefined for no cap. */
  readonly scoreSoftcap: number | undefined;
  readonly finalSoftcap: number | undefined;
  readonly tiedEmbedding: boolean;
}

/** The layers of the 27B model, whose scores llama.cpp scales by another number than those of all others. */
const N_LAYERS_27B = 46;

export const gemma2 = defineArchitecture({
  name: "gemma2",
  modelTypes: ["gemma2"],
  prefix: "model.",
  absentPoints: { posEmbed: "positions enter through the rotary embedding of q and k" },
  ignoredTensors: [
    { pattern: /rotary_emb\.inv_freq$/, reason: "follows from the config" },
    { pattern: /^lm_head\.weight$/, reason: "tied to the embedding" },
  ],

  config(r): Gemma2Config {
    const headDim = r.size("head_dim", 256);
    const nLayers = r.layerCount("num_hidden_layers");
    const contextLength = r.size("max_position_embeddings", 8192);
    const window = r.sizeOrNull("sliding_window", 4096);
    if (window !== undefined) r.require("sliding_window_size", window, "another name of sliding_window");
    r.choice("hidden_act", ["gelu_pytorch_tanh", "gelu"], "gelu_pytorch_tanh");
    r.require("hidden_activation", "gelu_pytorch_tanh", "the activation of this family");
    r.require("attention_bias", false, "as in all released models");
    r.require("use_bidirectional_attention", false, "golgi runs decoders");
    return {
      vocabSize: r.size("vocab_size", 256_000),
      dModel: r.size("hidden_size"),
      nLayers,
      nHeads: r.size("num_attention_heads"),
      nKvHeads: r.size("num_key_value_heads", 4),
      headDim,
      dFf: r.size("intermediate_size"),
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-6),
      rope: readRope(r, contextLength, headDim),
      windows: windowsByType(r, nLayers, window, (layer) => layer % 2 === 0),
      scoreScale: r.positive("query_pre_attn_scalar", 256) ** -0.5,
      scoreSoftcap: r.positiveOrNull("attn_logit_softcapping", 50),
      finalSoftcap: r.positiveOrNull("final_logit_softcapping", 30),
      tiedEmbedding: r.flag("tie_word_embeddings", true),
    };
  },

  gguf: {
    architecture: "gemma2",
    modelType: "gemma2",
    className: "Gemma2ForCausalLM",
    keys: GGUF_KEYS,
    optionalKeys: {
      sliding_window: "attention.sliding_window",
      attn_logit_softcapping: "attn_logit_softcapping",
      final_logit_softcapping: "final_logit_softcapping",
    },
    entries: {
      "attention.sliding_window": { type: "u32", of: ({ windows }) => windows.find((window) => window !== undefined) },
      attn_logit_softcapping: { type: "f32", of: ({ scoreSoftcap }) => scoreSoftcap },
      final_logit_softcapping: { type: "f32", of: ({ finalSoftcap }) => finalSoftcap },
    },
    reworded(_, { num_hidden_layers, hidden_size, num_attention_heads, head_dim }) {
      const is27B = num_hidden_layers === N_LAYERS_27B;
      const scalar = is27B ? Math.floor(Number(hidden_size) / Number(num_attention_heads)) : head_dim;
      return { json: { query_pre_attn_scalar: scalar }, keys: [] };
    },
  },

  weights(c: Gemma2Config, has: HasWeight) {
    const { dModel } = c;
    const gain = { offset: 1 };
    const { embed, unembed } = embeddings(c, has);
    return {
      embed,
      blocks: Array.from({ length: c.nLayers }, (_, i) => {
        const at = storedIn(`model.layers.${i}`, `blk.${i}`);
        return {
          ln1: { gain: at("input_layernorm.weight", "attn_norm.weight", [dModel], gain) },
          attn: {
            ...attentionWeights(at, c),
          },
          ln1Post: { gain: at("post_attention_layernorm.weight", "post_attention_norm.weight", [dModel], gain) },
          ln2: { gain: at("pre_feedforward_layernorm.weight", "ffn_norm.weight", [dModel], gain) },
          mlp: gatedMlpWeights(at, c),
          ln2Post: { gain: at("post_feedforward_layernorm.weight", "post_ffw_norm.weight", [dModel], gain) },
        };
      }),
      lnFinal: { gain: stored("model.norm.weight", [dModel], { gguf: "output_norm.weight", ...gain }) },
      unembed,
    };
  },

  forward(c, w, { tokens, rows, cache }) {
    const prepare = rotary(c.rope, c.headDim, rows);
    let resid = point("embed", scaleBy(selectRows(w.embed, tokens), { factor: Math.sqrt(c.dModel) })); // [T, dModel]
    for (const [i, block] of w.blocks.entries()) {
      scope(`blocks.${i}`, () => {
        point("residPre", resid);
        const attnOut = selfAttention(rmsNorm(resid, block.ln1, c), block.attn, c, rows, cache.layer(i), {
          prepare,
          window: c.windows[i],
          scale: c.scoreScale,
          softcap: c.scoreSoftcap,
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
