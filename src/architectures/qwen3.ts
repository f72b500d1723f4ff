import { GGUF_KEYS } from "../config/gguf.ts";
import { layerWindows } from "../config/layer-windows.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { type RopeConfig, readRope } from "../config/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { rmsNorm } from "../nn/norm.ts";
import { rotary } from "../nn/rotary.ts";
import { add, matmul, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import { attentionWeights, gatedMlpWeights } from "../weights/llama-names.ts";
import { stored, storedIn } from "../weights/schema.ts";
import { defineArchitecture, embeddings, type HasWeight, wantedRows } from "./architecture.ts";

/**
 * Qwen3, dense (arXiv:2505.09388).
 *
 * - pre-norm with RMSNorm, SwiGLU, rotary embedding, grouped-query attention
 * - RMSNorm over each head of q and k before the rotary embedding, its gain shared by the heads
 * - head size apart from the width; no biases unless attention_bias
 * - small sizes tie the unembedding to the embedding
 *
 * Reference: transformers `modeling_qwen3.py`.
 */
interface Qwen3Config extends ModelConfig {
  readonly rope: RopeConfig;
  /** For each layer the number of keys that a row sees; undefined for all before it. */
  readonly windows: readonly (number | undefined)[];
  readonly attentionBias: boolean;
  readonly tiedEmbedding: boolean;
}

export const qwen3 = defineArchitecture({
  name: "qwen3",
  modelTypes: ["qwen3"],
  prefix: "model.",
  absentPoints: { posEmbed: "positions enter through the rotary embedding of q and k" },
  ignoredTensors: [
    { pattern: /rotary_emb\.inv_freq$/, reason: "follows from the config" },
    { pattern: /^lm_head\.weight$/, reason: "tied to the embedding" },
  ],

  config(r): Qwen3Config {
    const dModel = r.size("hidden_size");
    const nHeads = r.size("num_attention_heads");
    const headDim = r.size("head_dim", 128);
    const nLayers = r.layerCount("num_hidden_layers");
    const contextLength = r.size("max_position_embeddings");
    r.require("hidden_act", "silu", "the activation of this family");
    return {
      vocabSize: r.size("vocab_size"),
      dModel,
      nLayers,
      nHeads,
      nKvHeads: r.size("num_key_value_heads", 32),
      headDim,
      dFf: r.size("intermediate_size"),
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-6),
      rope: readRope(r, contextLength, headDim),
      windows: layerWindows(r, nLayers),
      attentionBias: r.flag("attention_bias", false),
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    architecture: "qwen3",
    modelType: "qwen3",
    className: "Qwen3ForCausalLM",
    keys: GGUF_KEYS,
  },

  weights(c: Qwen3Config, has: HasWeight) {
    const { dModel } = c;
    const { embed, unembed } = embeddings(c, has);
    return {
      embed,
      blocks: Array.from({ length: c.nLayers }, (_, i) => {
        const at = storedIn(`model.layers.${i}`, `blk.${i}`);
        const [dQ, dKv] = [c.nHeads * c.headDim, c.nKvHeads * c.headDim];
        return {
          ln1: { gain: at("input_layernorm.weight", "attn_norm.weight", [dModel]) },
          attn: {
            ...attentionWeights(at, c),
            // llama.cpp has no biases of this family.
            ...(c.attentionBias && {
              bQ: stored(`model.layers.${i}.self_attn.q_proj.bias`, [dQ]),
              bK: stored(`model.layers.${i}.self_attn.k_proj.bias`, [dKv]),
              bV: stored(`model.layers.${i}.self_attn.v_proj.bias`, [dKv]),
              bO: stored(`model.layers.${i}.self_attn.o_proj.bias`, [dModel]),
            }),
            qNorm: { gain: at("self_attn.q_norm.weight", "attn_q_norm.weight", [c.headDim]) },
            kNorm: { gain: at("self_attn.k_norm.weight", "attn_k_norm.weight", [c.headDim]) },
          },
          ln2: { gain: at("post_attention_layernorm.weight", "ffn_norm.weight", [dModel]) },
          mlp: gatedMlpWeights(at, c),
        };
      }),
      lnFinal: { gain: stored("model.norm.weight", [dModel], { gguf: "output_norm.weight" }) },
      unembed,
    };
  },

  forward(c, w, { tokens, rows, cache }) {
    const rotate = rotary(c.rope, c.headDim, rows);
    let resid = point("embed", selectRows(w.embed, tokens)); // [T, dModel]
    for (const [i, block] of w.blocks.entries()) {
      scope(`blocks.${i}`, () => {
        point("residPre", resid);
        const attnOut = selfAttention(rmsNorm(resid, block.ln1, c), block.attn, c, rows, cache.layer(i), {
          prepare: (q, k, rounded) => rotate(rmsNorm(q, block.attn.qNorm, c), rmsNorm(k, block.attn.kNorm, c), rounded),
          window: c.windows[i],
        });
        resid = point("residMid", add(resid, point("attn.contribution", attnOut)));
        const mlpOut = gatedMlp(rmsNorm(resid, block.ln2, c), block.mlp, "silu");
        resid = point("residPost", add(resid, point("mlp.contribution", mlpOut)));
      });
    }
    return resid;
  },

  unembed(c, w, resid, wanted) {
    return matmul(wantedRows(rmsNorm(resid, w.lnFinal, c), wanted), w.unembed); // [R, vocabSize]
  },
});
