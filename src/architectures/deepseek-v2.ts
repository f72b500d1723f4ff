import {
  DEEPSEEK_GGUF,
  deepSeekEntries,
  type GroupsConfig,
  hasSigmoidScores,
  type LatentConfig,
  readGroups,
  readLatent,
  readSparseLayers,
} from "../config/deepseek.ts";
import type { ModelConfig, SparseConfig } from "../config/model-config.ts";
import { type RopeConfig, readRope, ropeScoreFactor } from "../config/rope.ts";
import { latentAttention } from "../nn/latent-attention.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { experts, gatedBy, sharedExpert, sparseOut } from "../nn/moe.ts";
import { rmsNorm } from "../nn/norm.ts";
import { rotation } from "../nn/rotary.ts";
import { deepSeekV2Router } from "../nn/routers.ts";
import { add, matmul, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import { latentAttentionWeights } from "../weights/latent-attention.ts";
import { gatedMlpWeights } from "../weights/llama-names.ts";
import { stackedIn, stored, storedIn } from "../weights/schema.ts";
import { ABSENT_WITH_EXPERTS, defineArchitecture, embeddings, type HasWeight, wantedRows } from "./architecture.ts";

/**
 * DeepSeek-V2, V2-Lite and V2.5 (arXiv:2405.04434).
 *
 * - pre-norm with RMSNorm, no biases (unless attention_bias), SwiGLU in the first layers
 * - multi-head latent attention: the cache holds one latent and one rotated key for each token
 * - rotary embedding of part of each head, in adjacent pairs; YaRN, which also scales the scores
 * - other layers are sparse: softmax scores, the best groups of experts by their best expert, shared experts
 *
 * Reference: transformers `modeling_deepseek_v2.py`, the Hub's `modeling_deepseek.py`.
 */
interface DeepSeekV2Config extends ModelConfig, LatentConfig {
  readonly vHeadDim: number;
  readonly rope: RopeConfig;
  readonly sparse: SparseConfig;
  readonly groups: GroupsConfig | undefined;
  /** Whether the weights of a token's experts are made to add up to 1, instead of being scaled. */
  readonly normTopK: boolean;
  /** On those weights. */
  readonly routedScale: number;
  readonly attentionBias: boolean;
  readonly tiedEmbedding: boolean;
}

export const deepSeekV2 = defineArchitecture({
  name: "deepseek-v2",
  modelTypes: ["deepseek_v2"],
  prefix: "model.",
  absentPoints: {
    ...ABSENT_WITH_EXPERTS,
    posEmbed: "positions enter through the rotary embedding of part of each q, and of attn.kRope",
    "attn.rotK": "keys do not turn: beside attn.k each head has attn.kRope, which does",
    "shared.gate": "the shared expert is added as it is",
  },
  ignoredTensors: [
    { pattern: /rotary_emb\.inv_freq$/, reason: "follows from the config" },
    { pattern: /^lm_head\.weight$/, reason: "tied to the embedding" },
  ],

  config(r): DeepSeekV2Config {
    const nHeads = r.size("num_attention_heads");
    const nLayers = r.layerCount("num_hidden_layers");
    const contextLength = r.size("max_position_embeddings");
    const latent = readLatent(r, nHeads);
    const dExpert = r.size("moe_intermediate_size");
    const sparse = {
      nExperts: r.size("n_routed_experts", 64),
      nExpertsPerToken: r.size("num_experts_per_tok"),
      dExpert,
      // Experts that every token goes to are one, whose neurons are those of all.
      dShared: dExpert * r.size("n_shared_experts", 2),
      layers: readSparseLayers(r, nLayers, 0),
    };
    const groups = readGroups(r, sparse, { defaults: [1, 1], nScored: 1 });
    const isLimited = r.choice("topk_method", ["greedy", "group_limited_greedy"], "greedy") !== "greedy";
    r.require("hidden_act", "silu", "the activation of this family");
    r.require("scoring_func", "softmax", "the scores of this family");
    r.require("mlp_bias", false, "no published model of this family has biases in its MLPs");
    return {
      vocabSize: r.size("vocab_size"),
      dModel: r.size("hidden_size"),
      nLayers,
      nHeads,
      nKvHeads: nHeads,
      headDim: latent.qkNopeHeadDim + latent.qkRopeHeadDim,
      ...latent,
      dFf: r.size("intermediate_size"),
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-6),
      rope: readRope(r, contextLength, latent.qkRopeHeadDim, { dimKey: "qk_rope_head_dim" }),
      sparse,
      groups: isLimited ? groups : undefined,
      normTopK: r.flag("norm_topk_prob", false),
      routedScale: r.positive("routed_scaling_factor", 1),
      attentionBias: r.flag("attention_bias", false),
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    ...DEEPSEEK_GGUF,
    entries: deepSeekEntries<DeepSeekV2Config>(1),
    modelType: "deepseek_v2",
    className: "DeepseekV2ForCausalLM",
    holds: (file) => !hasSigmoidScores(file),
  },

  cacheShape: ({ qkRopeHeadDim, kvLoraRank }) => [1, qkRopeHeadDim, kvLoraRank],

  weights(c: DeepSeekV2Config, has: HasWeight) {
    const { dModel } = c;
    const { nExperts, dExpert, dShared, layers } = c.sparse;
    const { embed, unembed } = embeddings(c, has);
    return {
      embed,
      blocks: layers.map((isSparse, i) => {
        const [layer, ggufLayer] = [`model.layers.${i}`, `blk.${i}`];
        const at = storedIn(layer, ggufLayer);
        const ofExperts = stackedIn(layer, ggufLayer, { experts: "mlp.experts" });
        return {
          ln1: { gain: at("input_layernorm.weight", "attn_norm.weight", [dModel]) },
          attn: latentAttentionWeights(layer, ggufLayer, c),
          ln2: { gain: at("post_attention_layernorm.weight", "ffn_norm.weight", [dModel]) },
          ...(isSparse
            ? {
                router: {
                  wRouter: at("mlp.gate.weight", "ffn_gate_inp.weight", [nExperts, dModel]),
                },
                experts: {
                  wGate: ofExperts("gate", "gate_proj", [nExperts, dExpert, dModel]),
                  wUp: ofExperts("up", "up_proj", [nExperts, dExpert, dModel]),
                  wDown: ofExperts("down", "down_proj", [nExperts, dModel, dExpert]),
                },
                shared: {
                  wGate: at("mlp.shared_experts.gate_proj.weight", "ffn_gate_shexp.weight", [dShared, dModel]),
                  wUp: at("mlp.shared_experts.up_proj.weight", "ffn_up_shexp.weight", [dShared, dModel]),
                  wDown: at("mlp.shared_experts.down_proj.weight", "ffn_down_shexp.weight", [dModel, dShared]),
                },
              }
            : {
                mlp: gatedMlpWeights(at, c),
              }),
        };
      }),
      lnFinal: { gain: stored("model.norm.weight", [dModel], { gguf: "output_norm.weight" }) },
      unembed,
    };
  },

  forward(c, w, { tokens, rows, cache }) {
    const attention = {
      scale: ropeScoreFactor(c.rope) / Math.sqrt(c.headDim),
      rotate: rotation(c.rope, rows, { rotaryDim: c.qkRopeHeadDim, pairing: "adjacent" }),
    };
    const choice = { ...c, nExpertsPerToken: c.sparse.nExpertsPerToken };
    let resid = point("embed", selectRows(w.embed, tokens)); // [T, dModel]
    for (const [i, block] of w.blocks.entries()) {
      scope(`blocks.${i}`, () => {
        point("residPre", resid);
        const x = rmsNorm(resid, block.ln1, c);
        const attnOut = latentAttention(x, block.attn, c, rows, cache.layer(i), attention);
        resid = point("residMid", add(resid, point("attn.contribution", attnOut)));
        const y = rmsNorm(resid, block.ln2, c);
        const mlpOut =
          "mlp" in block
            ? gatedMlp(y, block.mlp, "silu")
            : sparseOut(
                experts(y, deepSeekV2Router(y, block.router, choice), block.experts, gatedBy("silu")),
                sharedExpert(y, block.shared, "silu"),
              );
        resid = point("residPost", add(resid, point("mlp.contribution", mlpOut)));
      });
    }
    return resid;
  },

  unembed(c, w, resid, wanted) {
    return matmul(wantedRows(rmsNorm(resid, w.lnFinal, c), wanted), w.unembed); // [R, vocabSize]
  },
});
