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
import { requireFp8 } from "../config/quantization.ts";
import { type RopeConfig, readRope, ropeScoreFactor } from "../config/rope.ts";
import { latentAttention } from "../nn/latent-attention.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { experts, gatedBy, sharedExpert, sparseOut } from "../nn/moe.ts";
import { rmsNorm } from "../nn/norm.ts";
import { rotation } from "../nn/rotary.ts";
import { deepSeekV3Router } from "../nn/routers.ts";
import { add, matmul, selectRows } from "../ops/index.ts";
import type { Pairing } from "../ops/rotate/rotate.ts";
import { point, scope } from "../tape/builder.ts";
import type { IgnoredTensors } from "../weights/bind.ts";
import { latentAttentionWeights } from "../weights/latent-attention.ts";
import { gatedMlpWeights } from "../weights/llama-names.ts";
import { stackedIn, stored, storedIn } from "../weights/schema.ts";
import { ABSENT_WITH_EXPERTS, defineArchitecture, embeddings, type HasWeight, wantedRows } from "./architecture.ts";

/**
 * DeepSeek-V3 (arXiv:2412.19437), DeepSeek-R1 (arXiv:2501.12948) and Kimi K2 (arXiv:2507.20534).
 *
 * - pre-norm with RMSNorm, no biases (unless attention_bias), SwiGLU in the first layers
 * - multi-head latent attention: the cache holds one latent and one rotated key for each token
 * - rotary embedding of part of each head, in adjacent pairs; YaRN, which also scales the scores
 * - other layers are sparse: sigmoid scores, a bias that only takes part in the choice, experts in groups, a shared expert
 * - layers after the last (§2.2), which predict further tokens, are left out: what the others compute needs none of them
 *
 * Reference: transformers `modeling_deepseek_v3.py`, DeepSeek's `inference/model.py`.
 */
interface DeepSeekV3Config extends ModelConfig, LatentConfig {
  readonly vHeadDim: number;
  readonly rope: RopeConfig;
  readonly ropePairing: Pairing;
  readonly sparse: SparseConfig;
  readonly groups: GroupsConfig | undefined;
  /** Whether the weights of a token's experts are made to add up to 1. */
  readonly normTopK: boolean;
  /** On those weights. */
  readonly routedScale: number;
  readonly nMtpLayers: number;
  readonly attentionBias: boolean;
  readonly tiedEmbedding: boolean;
}

export const deepSeekV3 = defineArchitecture({
  name: "deepseek-v3",
  modelTypes: ["deepseek_v3", "kimi_k2"],
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
  ignoredBy: ({ nLayers, nMtpLayers }: DeepSeekV3Config) => predictingLayers(nLayers, nMtpLayers),

  config(r): DeepSeekV3Config {
    const nHeads = r.size("num_attention_heads", 128);
    const nLayers = r.layerCount("num_hidden_layers");
    const contextLength = r.size("max_position_embeddings");
    const latent = readLatent(r, nHeads);
    const dExpert = r.size("moe_intermediate_size", 2048);
    const sparse = {
      nExperts: r.size("n_routed_experts", 256),
      nExpertsPerToken: r.size("num_experts_per_tok", 8),
      dExpert,
      dShared: dExpert * r.size("n_shared_experts", 1),
      layers: readSparseLayers(r, nLayers, 3),
    };
    r.require("hidden_act", "silu", "the activation of this family");
    r.require("scoring_func", "sigmoid", "the scores of this family");
    r.require("topk_method", "noaux_tc", "the choice of this family");
    requireFp8(r);
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
      ropePairing: r.flag("rope_interleave", true) ? "adjacent" : "half",
      sparse,
      groups: readGroups(r, sparse, { defaults: [8, 4], nScored: 2 }),
      normTopK: r.flag("norm_topk_prob", true),
      routedScale: r.positive("routed_scaling_factor", 2.5),
      nMtpLayers: r.furtherLayerCount("num_nextn_predict_layers", 1),
      attentionBias: r.flag("attention_bias", false),
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    ...DEEPSEEK_GGUF,
    entries: deepSeekEntries<DeepSeekV3Config>(2),
    modelType: "deepseek_v3",
    className: "DeepseekV3ForCausalLM",
    holds: hasSigmoidScores,
  },

  cacheShape: ({ qkRopeHeadDim, kvLoraRank }) => [1, qkRopeHeadDim, kvLoraRank],

  weights(c: DeepSeekV3Config, has: HasWeight) {
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
                  selectionBias: at("mlp.gate.e_score_correction_bias", "exp_probs_b.bias", [nExperts]),
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
      rotate: rotation(c.rope, rows, { rotaryDim: c.qkRopeHeadDim, pairing: c.ropePairing }),
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
                experts(y, deepSeekV3Router(y, block.router, choice), block.experts, gatedBy("silu")),
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

/** Layers for multi-token prediction, which checkpoints hold as if they came after the last one. */
function predictingLayers(nLayers: number, n: number): IgnoredTensors[] {
  if (n === 0) return [];
  // One pattern, since each is tried on every tensor that the model does not use.
  const layers = Array.from({ length: n }, (_, i) => nLayers + i).join("|");
  const reason = "multi-token prediction (MTP), which no other layer reads";
  return [{ pattern: new RegExp(`^model\\.layers\\.(${layers})\\.`), reason }];
}
