import { expertCount } from "../config/experts.ts";
import { GGUF_EXPERT_KEYS, GGUF_KEYS } from "../config/gguf.ts";
import type { ModelConfig, SparseConfig } from "../config/model-config.ts";
import { type RopeConfig, readRope } from "../config/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { experts, gatedBy, sparseOut } from "../nn/moe.ts";
import { rmsNorm, rmsNormAcrossHeads } from "../nn/norm.ts";
import { rotary } from "../nn/rotary.ts";
import { qwenRouter } from "../nn/routers.ts";
import { add, matmul, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import { attentionWeights } from "../weights/llama-names.ts";
import { stackedIn, stored, storedIn } from "../weights/schema.ts";
import {
  ABSENT_WITH_EXPERTS,
  ABSENT_WITHOUT_SHARED,
  defineArchitecture,
  embeddings,
  type HasWeight,
  wantedRows,
} from "./architecture.ts";

/**
 * OLMoE (arXiv:2409.02060).
 *
 * - pre-norm with RMSNorm, rotary embedding, grouped-query attention; no biases unless attention_bias
 * - RMSNorm over the whole projections of q and k, before the rotary embedding
 * - every MLP is many small SwiGLU experts; softmax over all, the best of them, whose weights add up to 1 only where norm_topk_prob
 *
 * Reference: transformers `modeling_olmoe.py`.
 */
interface OlmoeConfig extends ModelConfig {
  readonly rope: RopeConfig;
  readonly sparse: SparseConfig;
  /** Whether the weights of the chosen experts are made to add up to 1. */
  readonly normTopK: boolean;
  readonly attentionBias: boolean;
  readonly tiedEmbedding: boolean;
}

export const olmoe = defineArchitecture({
  name: "olmoe",
  modelTypes: ["olmoe"],
  prefix: "model.",
  absentPoints: {
    posEmbed: "positions enter through the rotary embedding of q and k",
    ...ABSENT_WITH_EXPERTS,
    ...ABSENT_WITHOUT_SHARED,
  },
  ignoredTensors: [
    { pattern: /rotary_emb\.inv_freq$/, reason: "follows from the config" },
    { pattern: /^lm_head\.weight$/, reason: "tied to the embedding" },
  ],

  config(r): OlmoeConfig {
    const dModel = r.size("hidden_size");
    const nHeads = r.size("num_attention_heads");
    const headDim = dModel / nHeads;
    const nLayers = r.layerCount("num_hidden_layers");
    const contextLength = r.size("max_position_embeddings");
    const dExpert = r.size("intermediate_size");
    r.require("hidden_act", "silu", "the activation of this family");
    r.require("head_dim", headDim, "the norms of q and k are as wide as the heads of the width");
    if (r.has("clip_qkv")) throw r.invalid("clip_qkv", "null: no released model clips q, k and v", r.raw("clip_qkv"));
    r.raw("clip_qkv");
    return {
      vocabSize: r.size("vocab_size"),
      dModel,
      nLayers,
      nHeads,
      nKvHeads: r.size("num_key_value_heads", nHeads),
      headDim,
      dFf: dExpert,
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-5),
      sparse: {
        nExperts: expertCount(r),
        nExpertsPerToken: r.size("num_experts_per_tok"),
        dExpert,
        dShared: 0,
        layers: Array.from({ length: nLayers }, () => true),
      },
      normTopK: r.flag("norm_topk_prob", false),
      rope: readRope(r, contextLength, headDim),
      attentionBias: r.flag("attention_bias", false),
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    architecture: "olmoe",
    modelType: "olmoe",
    className: "OlmoeForCausalLM",
    keys: { ...GGUF_KEYS, ...GGUF_EXPERT_KEYS },
    neutral: { expert_gating_func: 1, expert_weights_norm: false, expert_weights_scale: 1 },
  },

  weights(c: OlmoeConfig, has: HasWeight) {
    const { dModel, sparse } = c;
    const { embed, unembed } = embeddings(c, has);
    return {
      embed,
      blocks: Array.from({ length: c.nLayers }, (_, i) => {
        const [layer, ggufLayer] = [`model.layers.${i}`, `blk.${i}`];
        const at = storedIn(layer, ggufLayer);
        const stack = stackedIn(layer, ggufLayer, { experts: "mlp.experts" });
        const [dQ, dKv] = [c.nHeads * c.headDim, c.nKvHeads * c.headDim];
        return {
          ln1: { gain: at("input_layernorm.weight", "attn_norm.weight", [dModel]) },
          attn: {
            ...attentionWeights(at, c),
            // llama.cpp has no biases of this family.
            ...(c.attentionBias && {
              bQ: stored(`${layer}.self_attn.q_proj.bias`, [dQ]),
              bK: stored(`${layer}.self_attn.k_proj.bias`, [dKv]),
              bV: stored(`${layer}.self_attn.v_proj.bias`, [dKv]),
              bO: stored(`${layer}.self_attn.o_proj.bias`, [dModel]),
            }),
            qNorm: { gain: at("self_attn.q_norm.weight", "attn_q_norm.weight", [dQ]) },
            // llama.cpp opens this family only where every head has keys of its own, as in all released models.
            kNorm: {
              gain:
                dKv === dQ
                  ? at("self_attn.k_norm.weight", "attn_k_norm.weight", [dKv])
                  : stored(`${layer}.self_attn.k_norm.weight`, [dKv]),
            },
          },
          ln2: { gain: at("post_attention_layernorm.weight", "ffn_norm.weight", [dModel]) },
          router: { wRouter: at("mlp.gate.weight", "ffn_gate_inp.weight", [sparse.nExperts, dModel]) },
          experts: {
            wGate: stack("gate", "gate_proj", [sparse.nExperts, sparse.dExpert, dModel]),
            wUp: stack("up", "up_proj", [sparse.nExperts, sparse.dExpert, dModel]),
            wDown: stack("down", "down_proj", [sparse.nExperts, dModel, sparse.dExpert]),
          },
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
          prepare: (q, k, rounded) =>
            rotate(rmsNormAcrossHeads(q, block.attn.qNorm, c), rmsNormAcrossHeads(k, block.attn.kNorm, c), rounded),
        });
        resid = point("residMid", add(resid, point("attn.contribution", attnOut)));
        const x = rmsNorm(resid, block.ln2, c); // [T, dModel]
        const routing = qwenRouter(x, block.router, { ...c.sparse, normTopK: c.normTopK });
        const mlpOut = sparseOut(experts(x, routing, block.experts, gatedBy("silu")));
        resid = point("residPost", add(resid, point("mlp.contribution", mlpOut)));
      });
    }
    return resid;
  },

  unembed(c, w, resid, wanted) {
    return matmul(wantedRows(rmsNorm(resid, w.lnFinal, c), wanted), w.unembed); // [R, vocabSize]
  },
});
