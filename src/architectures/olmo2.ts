import { GGUF_KEYS } from "../config/gguf.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { type RopeConfig, readRope } from "../config/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { rmsNorm, rmsNormAcrossHeads } from "../nn/norm.ts";
import { rotary } from "../nn/rotary.ts";
import { add, matmul, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import { attentionWeights, gatedMlpWeights } from "../weights/llama-names.ts";
import { stored, storedIn } from "../weights/schema.ts";
import { defineArchitecture, embeddings, type HasWeight, wantedRows } from "./architecture.ts";

/**
 * OLMo 2 (arXiv:2501.00656).
 *
 * - no norms before attention and the MLP, which read the residual stream itself, but RMSNorm after them: what follows it
 *   is added to the stream
 * - RMSNorm of q and of k over all heads together, before the rotary embedding
 * - no biases, SwiGLU, grouped-query (32B) or multi-head attention
 * - unembedding of its own
 *
 * Reference: transformers `modeling_olmo2.py`.
 */
interface Olmo2Config extends ModelConfig {
  readonly rope: RopeConfig;
  readonly tiedEmbedding: boolean;
}

const NO_NORM_BEFORE =
  "the norms of this family come after attention and the MLP, which read the residual stream itself";
const ABSENT_NORMS = ["ln1", "ln2"].flatMap((norm) =>
  ["scale", "normalized", "out"].map((part) => [`${norm}.${part}`, NO_NORM_BEFORE]),
);

export const olmo2 = defineArchitecture({
  name: "olmo2",
  modelTypes: ["olmo2"],
  prefix: "model.",
  absentPoints: {
    posEmbed: "positions enter through the rotary embedding of q and k",
    ...Object.fromEntries(ABSENT_NORMS),
  },
  ignoredTensors: [
    { pattern: /rotary_emb\.inv_freq$/, reason: "follows from the config" },
    { pattern: /^lm_head\.weight$/, reason: "tied to the embedding" },
  ],

  config(r): Olmo2Config {
    const dModel = r.size("hidden_size");
    const nHeads = r.size("num_attention_heads");
    const headDim = r.optionalSize("head_dim") ?? dModel / nHeads;
    const contextLength = r.size("max_position_embeddings", 2048);
    r.require("hidden_act", "silu", "the activation of this family");
    r.require("attention_bias", false, "as in all released models");
    return {
      vocabSize: r.size("vocab_size"),
      dModel,
      nLayers: r.layerCount("num_hidden_layers"),
      nHeads,
      nKvHeads: r.size("num_key_value_heads", nHeads),
      headDim,
      dFf: r.size("intermediate_size"),
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-5),
      rope: readRope(r, contextLength, headDim),
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    architecture: "olmo2",
    modelType: "olmo2",
    className: "Olmo2ForCausalLM",
    keys: GGUF_KEYS,
  },

  weights(c: Olmo2Config, has: HasWeight) {
    const { dModel } = c;
    const { embed, unembed } = embeddings(c, has);
    return {
      embed,
      blocks: Array.from({ length: c.nLayers }, (_, i) => {
        const at = storedIn(`model.layers.${i}`, `blk.${i}`);
        const [dQ, dKv] = [c.nHeads * c.headDim, c.nKvHeads * c.headDim];
        return {
          attn: {
            ...attentionWeights(at, c),
            qNorm: { gain: at("self_attn.q_norm.weight", "attn_q_norm.weight", [dQ]) },
            kNorm: { gain: at("self_attn.k_norm.weight", "attn_k_norm.weight", [dKv]) },
          },
          ln1Post: { gain: at("post_attention_layernorm.weight", "post_attention_norm.weight", [dModel]) },
          mlp: gatedMlpWeights(at, c),
          ln2Post: { gain: at("post_feedforward_layernorm.weight", "post_ffw_norm.weight", [dModel]) },
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
        const { qNorm, kNorm } = block.attn;
        const attnOut = selfAttention(resid, block.attn, c, rows, cache.layer(i), {
          prepare: (q, k, rounded) => rotate(rmsNormAcrossHeads(q, qNorm, c), rmsNormAcrossHeads(k, kNorm, c), rounded),
        });
        resid = point("residMid", add(resid, point("attn.contribution", rmsNorm(attnOut, block.ln1Post, c))));
        const mlpOut = gatedMlp(resid, block.mlp, "silu");
        resid = point("residPost", add(resid, point("mlp.contribution", rmsNorm(mlpOut, block.ln2Post, c))));
      });
    }
    return resid;
  },

  unembed(c, w, resid, wanted) {
    return matmul(wantedRows(rmsNorm(resid, w.lnFinal, c), wanted), w.unembed); // [R, vocabSize]
  },
});
