import { GGUF_KEYS } from "../config/gguf.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { type RopeConfig, readRope } from "../config/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { rmsNorm } from "../nn/norm.ts";
import { rotary } from "../nn/rotary.ts";
import { add, matmul, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import { gatedMlpWeights } from "../weights/llama-names.ts";
import { stored, storedIn } from "../weights/schema.ts";
import { defineArchitecture, embeddings, type HasWeight, wantedRows } from "./architecture.ts";

/**
 * Llama 1, 2 and 3 (arXiv:2302.13971, arXiv:2307.09288, arXiv:2407.21783) and Mistral (arXiv:2310.06825).
 *
 * - pre-norm with RMSNorm, no biases (unless attention_bias or mlp_bias), SwiGLU
 * - rotary embedding, θ 1e4 to 1e6; linear, llama3 and YaRN scaling
 * - grouped-query attention; Mistral: sliding window, head size apart from the width
 * - unembedding of its own, or tied to the embedding
 *
 * Reference: transformers `modeling_llama.py`, `modeling_mistral.py`.
 */
interface LlamaConfig extends ModelConfig {
  readonly rope: RopeConfig;
  /** Keys that a row sees (Mistral); all before it where undefined. */
  readonly window: number | undefined;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  readonly tiedEmbedding: boolean;
}

export const llama = defineArchitecture({
  name: "llama",
  modelTypes: ["llama", "mistral"],
  prefix: "model.",
  absentPoints: { posEmbed: "positions enter through the rotary embedding of q and k" },
  ignoredTensors: [
    { pattern: /rotary_emb\.inv_freq$/, reason: "follows from the config" },
    { pattern: /^lm_head\.weight$/, reason: "tied to the embedding" },
  ],

  config(r, modelType): LlamaConfig {
    const dModel = r.size("hidden_size");
    const nHeads = r.size("num_attention_heads");
    const headDim = r.optionalSize("head_dim") ?? dModel / nHeads;
    const contextLength = r.size("max_position_embeddings");
    r.require("hidden_act", "silu", "the activation of this family");
    return {
      vocabSize: r.size("vocab_size"),
      dModel,
      nLayers: r.layerCount("num_hidden_layers"),
      nHeads,
      nKvHeads: r.size("num_key_value_heads", modelType === "mistral" ? 8 : nHeads),
      headDim,
      dFf: r.size("intermediate_size"),
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-6),
      rope: readRope(r, contextLength, headDim),
      window: modelType === "mistral" ? r.sizeOrNull("sliding_window", 4096) : undefined,
      attentionBias: r.flag("attention_bias", false),
      mlpBias: r.flag("mlp_bias", false),
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    architecture: "llama",
    modelType: "llama",
    className: "LlamaForCausalLM",
    // With experts it is Mixtral.
    holds: ({ values }) => !values.get("llama.expert_count")?.value,
    hasRopeFactors: true,
    keys: GGUF_KEYS,
    flags: { attention_bias: "blk.0.attn_q.bias", mlp_bias: "blk.0.ffn_gate.bias" },
  },

  weights(c: LlamaConfig, has: HasWeight) {
    const { dModel, dFf } = c;
    const { embed, unembed } = embeddings(c, has);
    return {
      embed,
      blocks: Array.from({ length: c.nLayers }, (_, i) => {
        const at = storedIn(`model.layers.${i}`, `blk.${i}`);
        const [q, k] = [{ ggufPairedHeads: c.nHeads }, { ggufPairedHeads: c.nKvHeads }];
        const [dQ, dKv] = [c.nHeads * c.headDim, c.nKvHeads * c.headDim];
        return {
          ln1: { gain: at("input_layernorm.weight", "attn_norm.weight", [dModel]) },
          attn: {
            wQ: at("self_attn.q_proj.weight", "attn_q.weight", [dQ, dModel], q),
            wK: at("self_attn.k_proj.weight", "attn_k.weight", [dKv, dModel], k),
            wV: at("self_attn.v_proj.weight", "attn_v.weight", [dKv, dModel]),
            wO: at("self_attn.o_proj.weight", "attn_output.weight", [dModel, dQ]),
            ...(c.attentionBias && {
              bQ: at("self_attn.q_proj.bias", "attn_q.bias", [dQ], q),
              bK: at("self_attn.k_proj.bias", "attn_k.bias", [dKv], k),
              bV: at("self_attn.v_proj.bias", "attn_v.bias", [dKv]),
              bO: at("self_attn.o_proj.bias", "attn_output.bias", [dModel]),
            }),
          },
          ln2: { gain: at("post_attention_layernorm.weight", "ffn_norm.weight", [dModel]) },
          mlp: {
            ...gatedMlpWeights(at, c),
            ...(c.mlpBias && {
              bGate: at("mlp.gate_proj.bias", "ffn_gate.bias", [dFf]),
              bUp: at("mlp.up_proj.bias", "ffn_up.bias", [dFf]),
              bDown: at("mlp.down_proj.bias", "ffn_down.bias", [dModel]),
            }),
          },
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
          window: c.window,
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
