import { expertCount, sparseLayers } from "../config/experts.ts";
import { GGUF_EXPERT_KEYS, GGUF_KEYS } from "../config/gguf.ts";
import type { ModelConfig, SparseConfig } from "../config/model-config.ts";
import { type RopeConfig, readRope } from "../config/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { type ExpertsWeights, experts, gatedBy, sparseOut } from "../nn/moe.ts";
import { rmsNorm } from "../nn/norm.ts";
import { rotary } from "../nn/rotary.ts";
import { qwenRouter, type RouterWeights } from "../nn/routers.ts";
import { add, matmul, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { attentionWeights, gatedMlpWeights } from "../weights/llama-names.ts";
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
 * Qwen3 with experts (arXiv:2505.09388): Qwen3-30B-A3B, Qwen3-235B-A22B.
 *
 * - as Qwen3: RMSNorm over each head of q and k before the rotary embedding, no biases unless attention_bias
 * - sliding window in every layer, where use_sliding_window
 * - softmax over all experts, the best of them, whose weights add up to 1 only where norm_topk_prob; none is shared
 * - some layers may have a dense MLP: decoder_sparse_step, mlp_only_layers
 *
 * Reference: transformers `modeling_qwen3_moe.py`.
 */
interface Qwen3MoeConfig extends ModelConfig {
  readonly rope: RopeConfig;
  readonly sparse: SparseConfig;
  /** Whether the weights of the chosen experts are made to add up to 1. */
  readonly normTopK: boolean;
  /** Keys that a row sees; all before it where undefined. */
  readonly window: number | undefined;
  readonly attentionBias: boolean;
  readonly tiedEmbedding: boolean;
}

export const qwen3Moe = defineArchitecture({
  name: "qwen3-moe",
  modelTypes: ["qwen3_moe"],
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

  config(r): Qwen3MoeConfig {
    const dModel = r.size("hidden_size");
    const nHeads = r.size("num_attention_heads");
    const headDim = r.optionalSize("head_dim") ?? dModel / nHeads;
    const nLayers = r.layerCount("num_hidden_layers");
    const contextLength = r.size("max_position_embeddings");
    const window = r.sizeOrNull("sliding_window", 4096);
    r.require("hidden_act", "silu", "the activation of this family");
    r.raw("max_window_layers"); // A key of Qwen2's, which the class does not look at.
    r.require("shared_expert_intermediate_size", 0, "no expert of this family is shared");
    r.require("use_qk_norm", true, "heads of this family have norms");
    r.require("qkv_bias", false, "attention_bias says it in this family");
    return {
      vocabSize: r.size("vocab_size"),
      dModel,
      nLayers,
      nHeads,
      nKvHeads: r.size("num_key_value_heads", 4),
      headDim,
      dFf: r.size("intermediate_size"),
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-6),
      sparse: {
        nExperts: expertCount(r),
        nExpertsPerToken: r.size("num_experts_per_tok"),
        dExpert: r.size("moe_intermediate_size"),
        dShared: 0,
        layers: sparseLayers(r, nLayers),
      },
      normTopK: r.flag("norm_topk_prob", false),
      rope: readRope(r, contextLength, headDim),
      window: r.flag("use_sliding_window", false) ? window : undefined,
      attentionBias: r.flag("attention_bias", false),
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    architecture: "qwen3moe",
    modelType: "qwen3_moe",
    className: "Qwen3MoeForCausalLM",
    keys: {
      ...GGUF_KEYS,
      ...GGUF_EXPERT_KEYS,
      moe_intermediate_size: "expert_feed_forward_length",
    },
    // llama.cpp knows no other.
    reworded: () => ({ json: { norm_topk_prob: true }, keys: [] }),
    neutral: {
      ...{ expert_gating_func: 1, expert_weights_norm: true, expert_weights_scale: 1 },
      expert_shared_feed_forward_length: 0,
    },
  },

  weights(c: Qwen3MoeConfig, has: HasWeight) {
    const { dModel } = c;
    const { nExperts, dExpert } = c.sparse;
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
            // llama.cpp has no biases of this family.
            ...(c.attentionBias && {
              bQ: stored(`${layer}.self_attn.q_proj.bias`, [dQ]),
              bK: stored(`${layer}.self_attn.k_proj.bias`, [dKv]),
              bV: stored(`${layer}.self_attn.v_proj.bias`, [dKv]),
              bO: stored(`${layer}.self_attn.o_proj.bias`, [dModel]),
            }),
            qNorm: { gain: at("self_attn.q_norm.weight", "attn_q_norm.weight", [c.headDim]) },
            kNorm: { gain: at("self_attn.k_norm.weight", "attn_k_norm.weight", [c.headDim]) },
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
          window: c.window,
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
}

/** The chosen experts. [T, dModel] -> [T, dModel] */
function sparseMlp(x: Value, w: SparseWeights, { sparse, normTopK }: Qwen3MoeConfig): Value {
  const routing = qwenRouter(x, w.router, { ...sparse, normTopK });
  return sparseOut(experts(x, routing, w.experts, gatedBy("silu")));
}
