import { GGUF_KEYS } from "../config/gguf.ts";
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
import { defineArchitecture, embeddings, type HasWeight, wantedRows } from "./architecture.ts";

/**
 * Gemma (arXiv:2403.08295).
 *
 * - embeddings times √dModel, in float32 as transformers has it for a float32 model; a bfloat16 one there rounds the root
 * - pre-norm with RMSNorm, whose gain checkpoints store less 1 and GGUF files whole
 * - GeGLU with the tanh GELU, which older configs call "gelu"
 * - rotary embedding, multi-query (2B) or multi-head attention, head size apart from the width
 * - unembedding tied to the embedding, before its scaling
 *
 * Reference: transformers `modeling_gemma.py`.
 */
interface GemmaConfig extends ModelConfig {
  readonly rope: RopeConfig;
  readonly tiedEmbedding: boolean;
}

export const gemma = defineArchitecture({
  name: "gemma",
  modelTypes: ["gemma"],
  prefix: "model.",
  absentPoints: { posEmbed: "positions enter through the rotary embedding of q and k" },
  ignoredTensors: [
    { pattern: /rotary_emb\.inv_freq$/, reason: "follows from the config" },
    { pattern: /^lm_head\.weight$/, reason: "tied to the embedding" },
  ],

  config(r): GemmaConfig {
    const headDim = r.size("head_dim", 256);
    const contextLength = r.size("max_position_embeddings", 8192);
    r.choice("hidden_act", ["gelu_pytorch_tanh", "gelu"], "gelu_pytorch_tanh");
    r.require("hidden_activation", "gelu_pytorch_tanh", "the activation of this family");
    r.require("attention_bias", false, "as in all released models");
    r.require("use_bidirectional_attention", false, "golgi runs decoders");
    return {
      vocabSize: r.size("vocab_size", 256_000),
      dModel: r.size("hidden_size"),
      nLayers: r.layerCount("num_hidden_layers"),
      nHeads: r.size("num_attention_heads"),
      nKvHeads: r.size("num_key_value_heads", 16),
      headDim,
      dFf: r.size("intermediate_size"),
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-6),
      rope: readRope(r, contextLength, headDim),
      tiedEmbedding: r.flag("tie_word_embeddings", true),
    };
  },

  gguf: {
    architecture: "gemma",
    modelType: "gemma",
    className: "GemmaForCausalLM",
    keys: GGUF_KEYS,
  },

  weights(c: GemmaConfig, has: HasWeight) {
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
          ln2: { gain: at("post_attention_layernorm.weight", "ffn_norm.weight", [dModel], gain) },
          mlp: gatedMlpWeights(at, c),
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
        const attnIn = rmsNorm(resid, block.ln1, c);
        const attnOut = selfAttention(attnIn, block.attn, c, rows, cache.layer(i), { prepare });
        resid = point("residMid", add(resid, point("attn.contribution", attnOut)));
        const mlpOut = gatedMlp(rmsNorm(resid, block.ln2, c), block.mlp, "geluTanh");
        resid = point("residPost", add(resid, point("mlp.contribution", mlpOut)));
      });
    }
    return resid;
  },

  unembed(c, w, resid, wanted) {
    return matmul(wantedRows(rmsNorm(resid, w.lnFinal, c), wanted), w.unembed); // [R, vocabSize]
  },
});
