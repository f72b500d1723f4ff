import { GGUF_KEYS } from "../config/gguf.ts";
import type { ModelConfig, SparseConfig } from "../config/model-config.ts";
import { type RopeConfig, readRope } from "../config/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { experts, gatedBy, sparseOut } from "../nn/moe.ts";
import { rmsNorm } from "../nn/norm.ts";
import { rotary } from "../nn/rotary.ts";
import { mixtralRouter } from "../nn/routers.ts";
import { add, matmul, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import { stackedIn, stored, storedIn, WeightSpec, whole } from "../weights/schema.ts";
import {
  ABSENT_WITH_EXPERTS,
  ABSENT_WITHOUT_SHARED,
  defineArchitecture,
  embeddings,
  type HasWeight,
  wantedRows,
} from "./architecture.ts";

/**
 * Mixtral (arXiv:2401.04088): Mistral with experts.
 *
 * - pre-norm with RMSNorm, no biases, rotary embedding, grouped-query attention; a sliding window where the config sets one
 * - every MLP is many SwiGLU experts; softmax over all, the best two, whose weights are made to add up to 1
 *
 * Reference: transformers `modeling_mixtral.py`.
 */
interface MixtralConfig extends ModelConfig {
  readonly rope: RopeConfig;
  readonly sparse: SparseConfig;
  /** Keys that a row sees; all before it where undefined. */
  readonly window: number | undefined;
  readonly tiedEmbedding: boolean;
}

export const mixtral = defineArchitecture({
  name: "mixtral",
  modelTypes: ["mixtral"],
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

  config(r): MixtralConfig {
    const dModel = r.size("hidden_size");
    const nHeads = r.size("num_attention_heads");
    const headDim = r.optionalSize("head_dim") ?? dModel / nHeads;
    const nLayers = r.layerCount("num_hidden_layers");
    const contextLength = r.size("max_position_embeddings");
    const dExpert = r.size("intermediate_size");
    r.require("hidden_act", "silu", "the activation of this family");
    return {
      vocabSize: r.size("vocab_size"),
      dModel,
      nLayers,
      nHeads,
      nKvHeads: r.size("num_key_value_heads", 8),
      headDim,
      dFf: dExpert,
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-5),
      sparse: {
        nExperts: r.size("num_local_experts"),
        nExpertsPerToken: r.size("num_experts_per_tok"),
        dExpert,
        dShared: 0,
        layers: Array.from({ length: nLayers }, () => true),
      },
      rope: readRope(r, contextLength, headDim, { defaultTheta: 1e6 }),
      window: r.optionalSize("sliding_window"),
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    architecture: "llama",
    modelType: "mixtral",
    className: "MixtralForCausalLM",
    holds: ({ values }) => Boolean(values.get("llama.expert_count")?.value),
    hasRopeFactors: true,
    keys: { ...GGUF_KEYS, num_local_experts: "expert_count", num_experts_per_tok: "expert_used_count" },
    neutral: { expert_gating_func: 1, expert_weights_norm: true, expert_weights_scale: 1 },
  },

  weights(c: MixtralConfig, has: HasWeight) {
    const { dModel, sparse } = c;
    const { embed, unembed } = embeddings(c, has);
    return {
      embed,
      blocks: Array.from({ length: c.nLayers }, (_, i) => {
        const [layer, ggufLayer] = [`model.layers.${i}`, `blk.${i}`];
        const at = storedIn(layer, ggufLayer);
        const stack = stackedIn(layer, ggufLayer, { experts: "block_sparse_moe.experts", packed: "mlp.experts" });
        const [q, k] = [{ ggufPairedHeads: c.nHeads }, { ggufPairedHeads: c.nKvHeads }];
        const [dQ, dKv] = [c.nHeads * c.headDim, c.nKvHeads * c.headDim];
        return {
          ln1: { gain: at("input_layernorm.weight", "attn_norm.weight", [dModel]) },
          attn: {
            wQ: at("self_attn.q_proj.weight", "attn_q.weight", [dQ, dModel], q),
            wK: at("self_attn.k_proj.weight", "attn_k.weight", [dKv, dModel], k),
            wV: at("self_attn.v_proj.weight", "attn_v.weight", [dKv, dModel]),
            wO: at("self_attn.o_proj.weight", "attn_output.weight", [dModel, dQ]),
          },
          ln2: { gain: at("post_attention_layernorm.weight", "ffn_norm.weight", [dModel]) },
          router: {
            // Files with packed experts have the names of the classes, others those of the first release.
            wRouter: new WeightSpec(
              [sparse.nExperts, dModel],
              [whole(`${layer}.block_sparse_moe.gate.weight`), whole(`${layer}.mlp.gate.weight`)],
              [whole(`${ggufLayer}.ffn_gate_inp.weight`)],
            ),
          },
          experts: {
            wGate: stack("gate", "w1", [sparse.nExperts, sparse.dExpert, dModel]),
            wUp: stack("up", "w3", [sparse.nExperts, sparse.dExpert, dModel]),
            wDown: stack("down", "w2", [sparse.nExperts, dModel, sparse.dExpert]),
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
        const x = rmsNorm(resid, block.ln2, c); // [T, dModel]
        const routing = mixtralRouter(x, block.router, c.sparse);
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
