import { sparseLayers } from "../config/experts.ts";
import { GGUF_EXPERT_KEYS, GGUF_KEYS } from "../config/gguf.ts";
import { alternatingWindows } from "../config/layer-windows.ts";
import type { ModelConfig, SparseConfig } from "../config/model-config.ts";
import { type RopeConfig, readRope } from "../config/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { type ExpertsWeights, experts, gatedBy, type SharedExpertWeights, sharedExpert, sparseOut } from "../nn/moe.ts";
import { rmsNorm } from "../nn/norm.ts";
import { rotary } from "../nn/rotary.ts";
import { qwenRouter, type RouterWeights } from "../nn/routers.ts";
import { add, matmul, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { attentionWeights, gatedMlpWeights } from "../weights/llama-names.ts";
import { stackedIn, stored, storedIn } from "../weights/schema.ts";
import { ABSENT_WITH_EXPERTS, defineArchitecture, embeddings, type HasWeight, wantedRows } from "./architecture.ts";

/**
 * Qwen1.5-MoE and Qwen2-57B-A14B (arXiv:2407.10671, §2.2.2).
 *
 * - pre-norm with RMSNorm, rotary embedding, grouped-query attention; biases on the projections of q, k and v
 * - sliding window in every other layer before max_window_layers, where use_sliding_window
 * - softmax over all experts, the best of them, whose weights add up to 1 only where norm_topk_prob
 * - a shared expert, which each token weighs by a sigmoid of its own
 * - some layers may have a dense MLP: decoder_sparse_step, mlp_only_layers
 *
 * Reference: transformers `modeling_qwen2_moe.py`.
 */
interface Qwen2MoeConfig extends ModelConfig {
  readonly rope: RopeConfig;
  readonly sparse: SparseConfig;
  /** Whether the weights of the chosen experts are made to add up to 1. */
  readonly normTopK: boolean;
  /** For each layer the number of keys that a row sees; undefined for all before it. */
  readonly windows: readonly (number | undefined)[];
  readonly qkvBias: boolean;
  readonly tiedEmbedding: boolean;
}

export const qwen2Moe = defineArchitecture({
  name: "qwen2-moe",
  modelTypes: ["qwen2_moe"],
  prefix: "model.",
  absentPoints: {
    posEmbed: "positions enter through the rotary embedding of q and k",
    ...ABSENT_WITH_EXPERTS,
  },
  ignoredTensors: [
    { pattern: /rotary_emb\.inv_freq$/, reason: "follows from the config" },
    { pattern: /^lm_head\.weight$/, reason: "tied to the embedding" },
  ],

  config(r): Qwen2MoeConfig {
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
      nKvHeads: r.size("num_key_value_heads", 16),
      headDim,
      dFf: r.size("intermediate_size"),
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-6),
      sparse: {
        nExperts: r.size("num_experts"),
        nExpertsPerToken: r.size("num_experts_per_tok"),
        dExpert: r.size("moe_intermediate_size"),
        dShared: r.size("shared_expert_intermediate_size"),
        layers: sparseLayers(r, nLayers),
      },
      normTopK: r.flag("norm_topk_prob", false),
      rope: readRope(r, contextLength, headDim),
      windows: alternatingWindows(r, nLayers),
      qkvBias: r.flag("qkv_bias", true),
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    architecture: "qwen2moe",
    modelType: "qwen2_moe",
    className: "Qwen2MoeForCausalLM",
    keys: {
      ...GGUF_KEYS,
      ...GGUF_EXPERT_KEYS,
      moe_intermediate_size: "expert_feed_forward_length",
      shared_expert_intermediate_size: "expert_shared_feed_forward_length",
    },
    flags: { qkv_bias: "blk.0.attn_q.bias" },
    neutral: { expert_gating_func: 1, expert_weights_norm: false, expert_weights_scale: 1 },
  },

  weights(c: Qwen2MoeConfig, has: HasWeight) {
    const { dModel } = c;
    const { nExperts, dExpert, dShared } = c.sparse;
    const { embed, unembed } = embeddings(c, has);
    return {
      embed,
      blocks: Array.from({ length: c.nLayers }, (_, i) => {
        const [layer, ggufLayer] = [`model.layers.${i}`, `blk.${i}`];
        const at = storedIn(layer, ggufLayer);
        const stack = stackedIn(layer, ggufLayer, { experts: "mlp.experts" });
        const [dQ, dKv] = [c.nHeads * c.headDim, c.nKvHeads * c.headDim];
        const attention = {
          ln1: { gain: at("input_layernorm.weight", "attn_norm.weight", [dModel]) },
          attn: {
            ...attentionWeights(at, c),
            ...(c.qkvBias && {
              bQ: at("self_attn.q_proj.bias", "attn_q.bias", [dQ]),
              bK: at("self_attn.k_proj.bias", "attn_k.bias", [dKv]),
              bV: at("self_attn.v_proj.bias", "attn_v.bias", [dKv]),
            }),
          },
          ln2: { gain: at("post_attention_layernorm.weight", "ffn_norm.weight", [dModel]) },
        };
        if (!c.sparse.layers[i]) {
          return {
            ...attention,
            mlp: gatedMlpWeights(at, c),
          };
        }
        return {
          ...attention,
          router: { wRouter: at("mlp.gate.weight", "ffn_gate_inp.weight", [nExperts, dModel]) },
          experts: {
            wGate: stack("gate", "gate_proj", [nExperts, dExpert, dModel]),
            wUp: stack("up", "up_proj", [nExperts, dExpert, dModel]),
            wDown: stack("down", "down_proj", [nExperts, dModel, dExpert]),
          },
          shared: {
            wGate: at("mlp.shared_expert.gate_proj.weight", "ffn_gate_shexp.weight", [dShared, dModel]),
            wUp: at("mlp.shared_expert.up_proj.weight", "ffn_up_shexp.weight", [dShared, dModel]),
            wDown: at("mlp.shared_expert.down_proj.weight", "ffn_down_shexp.weight", [dModel, dShared]),
            wSharedGate: at("mlp.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight", [1, dModel]),
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
          window: c.windows[i],
        });
        resid = point("residMid", add(resid, point("attn.contribution", attnOut)));
        const x = rmsNorm(resid, block.ln2, c); // [T, dModel]
        const mlpOut = "mlp" in block ? gatedMlp(x, block.mlp, "silu") : sparseMlp(x, block, c);
        resid = point("residPost", add(resid, point("mlp.contribution", mlpOut)));
      });
    }
    return resid;
  },

  unembed(c, w, resid, wanted) {
    return matmul(wantedRows(rmsNorm(resid, w.lnFinal, c), wanted), w.unembed); // [R, vocabSize]
  },
});

interface SparseWeights {
  readonly router: RouterWeights;
  readonly experts: ExpertsWeights;
  readonly shared: SharedExpertWeights;
}

/** The chosen experts and the shared one. [T, dModel] -> [T, dModel] */
function sparseMlp(x: Value, w: SparseWeights, { sparse, normTopK }: Qwen2MoeConfig): Value {
  const routing = qwenRouter(x, w.router, { ...sparse, normTopK });
  return sparseOut(experts(x, routing, w.experts, gatedBy("silu")), sharedExpert(x, w.shared, "silu"));
}
