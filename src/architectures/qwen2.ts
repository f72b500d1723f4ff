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
 * Qwen2 and Qwen2.5 (arXiv:2407.10671, arXiv:2412.15115); DeepSeek-R1-Distill-Qwen as well.
 *
 * - pre-norm with RMSNorm, SwiGLU, rotary embedding, grouped-query attention
 * - biases on the projections of q, k and v, none on the output
 * - sliding window from layer max_window_layers on, where use_sliding_window
 * - small sizes tie the unembedding to the embedding
 *
 * Reference: transformers `modeling_qwen2.py`.
 */
interface Qwen2Config extends ModelConfig {
  readonly rope: RopeConfig;
  /** For each layer the number of keys that a row sees; undefined for all before it. */
  readonly windows: readonly (number | undefined)[];
  readonly tiedEmbedding: boolean;
}

export const qwen2 = defineArchitecture({
  name: "qwen2",
  modelTypes: ["qwen2"],
  prefix: "model.",
  absentPoints: { posEmbed: "positions enter through the rotary embedding of q and k" },
  ignoredTensors: [
    { pattern: /rotary_emb\.inv_freq$/, reason: "follows from the config" },
    { pattern: /^lm_head\.weight$/, reason: "tied to the embedding" },
  ],

  config(r): Qwen2Config {
    const dModel = r.size("hidden_size");
    const nHeads = r.size("num_attention_heads");
    const headDim = r.optionalSize("head_dim") ?? dModel / nHeads;
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
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    architecture: "qwen2",
    modelType: "qwen2",
    className: "Qwen2ForCausalLM",
    keys: GGUF_KEYS,
  },

  weights(c: Qwen2Config, has: HasWeight) {
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
            bQ: at("self_attn.q_proj.bias", "attn_q.bias", [dQ]),
            bK: at("self_attn.k_proj.bias", "attn_k.bias", [dKv]),
            bV: at("self_attn.v_proj.bias", "attn_v.bias", [dKv]),
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
    const prepare = rotary(c.rope, c.headDim, rows);
    let resid = point("embed", selectRows(w.embed, tokens)); // [T, dModel]
    for (const [i, block] of w.blocks.entries()) {
      scope(`blocks.${i}`, () => {
        point("residPre", resid);
        const attnOut = selfAttention(rmsNorm(resid, block.ln1, c), block.attn, c, rows, cache.layer(i), {
          prepare,
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
