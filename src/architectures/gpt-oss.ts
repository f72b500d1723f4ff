import { GGUF_KEYS } from "../config/gguf.ts";
import { windowsByType } from "../config/layer-windows.ts";
import type { ModelConfig, SparseConfig } from "../config/model-config.ts";
import type { ConfigReader } from "../config/reader.ts";
import { type RopeConfig, readRope } from "../config/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { experts, sparseOut } from "../nn/moe.ts";
import { rmsNorm } from "../nn/norm.ts";
import { rotary } from "../nn/rotary.ts";
import { gptOssRouter } from "../nn/routers.ts";
import { add, clampedGlu, matmul, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import { attentionWeights } from "../weights/llama-names.ts";
import { matrices, mxfp4Matrices, stored, storedIn, WeightSpec, whole } from "../weights/schema.ts";
import {
  ABSENT_WITH_EXPERTS,
  ABSENT_WITHOUT_SHARED,
  defineArchitecture,
  embeddings,
  type HasWeight,
  wantedRows,
} from "./architecture.ts";

/**
 * gpt-oss (arXiv:2508.10925).
 *
 * - pre-norm with RMSNorm, biases everywhere, rotary embedding stretched by YaRN, grouped-query attention
 * - every head has a sink: a learned score of no key, which takes its share of the softmax
 * - every other layer, from the first one on, sees a sliding window only
 * - every MLP is many experts: the largest logits, softmax of these alone; SwiGLU with clamped branches
 * - published with the experts in MXFP4, the rows of gate and up in turns
 *
 * Reference: transformers `modeling_gpt_oss.py`.
 */
interface GptOssConfig extends ModelConfig {
  readonly rope: RopeConfig;
  readonly sparse: SparseConfig;
  /** For each layer the number of keys that a row sees; undefined for all before it. */
  readonly windows: readonly (number | undefined)[];
  readonly attentionBias: boolean;
  /** Of `clampedGlu`. */
  readonly swiglu: { readonly limit: number; readonly alpha: number };
  readonly tiedEmbedding: boolean;
}

export const gptOss = defineArchitecture({
  name: "gpt-oss",
  modelTypes: ["gpt_oss"],
  prefix: "model.",
  absentPoints: {
    posEmbed: "positions enter through the rotary embedding of q and k",
    "router.scores": "the softmax is of the chosen experts' logits alone: router.weights",
    ...ABSENT_WITH_EXPERTS,
    ...ABSENT_WITHOUT_SHARED,
  },
  ignoredTensors: [{ pattern: /^lm_head\.weight$/, reason: "tied to the embedding" }],

  config(r): GptOssConfig {
    const nLayers = r.layerCount("num_hidden_layers");
    const contextLength = r.size("max_position_embeddings");
    const headDim = r.size("head_dim", 64);
    const dExpert = r.size("intermediate_size");
    const nExpertsPerToken = r.size("num_experts_per_tok");
    r.require("experts_per_token", nExpertsPerToken, "another name of num_experts_per_tok");
    r.require("hidden_act", "silu", "the activation of this family");
    requireMxfp4(r);
    if (!r.has("rope_scaling") && !r.has("rope_parameters")) {
      throw r.invalid("rope_scaling", "set, for every model of this family stretches its rotary embedding", undefined);
    }
    return {
      vocabSize: r.size("vocab_size"),
      dModel: r.size("hidden_size"),
      nLayers,
      nHeads: r.size("num_attention_heads"),
      nKvHeads: r.size("num_key_value_heads", 8),
      headDim,
      dFf: dExpert,
      contextLength,
      normEps: r.positive("rms_norm_eps", 1e-5),
      sparse: {
        nExperts: r.size("num_local_experts"),
        nExpertsPerToken,
        dExpert,
        dShared: 0,
        layers: Array.from({ length: nLayers }, () => true),
      },
      rope: readRope(r, contextLength, headDim, { defaultTheta: 150_000 }),
      windows: windowsByType(r, nLayers, r.sizeOrNull("sliding_window", 128), (layer) => layer % 2 === 0),
      attentionBias: r.flag("attention_bias", true),
      swiglu: { limit: r.positive("swiglu_limit", 7), alpha: r.positive("swiglu_alpha", 1.702) },
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    architecture: "gpt-oss",
    modelType: "gpt_oss",
    className: "GptOssForCausalLM",
    keys: {
      ...GGUF_KEYS,
      num_local_experts: "expert_count",
      num_experts_per_tok: "expert_used_count",
      sliding_window: "attention.sliding_window",
    },
    entries: {
      "attention.sliding_window": { type: "u32", of: ({ windows }) => windows.find((window) => window !== undefined) },
      expert_feed_forward_length: { type: "u32", of: ({ sparse }) => sparse.dExpert },
    },
    neutral: { expert_gating_func: 3, expert_weights_scale: 1, "attention.sliding_window_pattern": 2 },
    reworded: (own, { rope_scaling: scaling, intermediate_size: dExpert }) => ({
      // YaRN's ramp of this family begins and ends between dimensions, which the metadata cannot say.
      json: { ...(scaling !== undefined && { rope_scaling: { ...scaling, truncate: false } }) },
      keys: own.get("expert_feed_forward_length") === dExpert ? ["expert_feed_forward_length"] : [],
    }),
  },

  weights(c: GptOssConfig, has: HasWeight) {
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
            sinks: at("self_attn.sinks", "attn_sinks.weight", [c.nHeads]),
            ...(c.attentionBias && {
              bQ: at("self_attn.q_proj.bias", "attn_q.bias", [dQ]),
              bK: at("self_attn.k_proj.bias", "attn_k.bias", [dKv]),
              bV: at("self_attn.v_proj.bias", "attn_v.bias", [dKv]),
              bO: at("self_attn.o_proj.bias", "attn_output.bias", [dModel]),
            }),
          },
          ln2: { gain: at("post_attention_layernorm.weight", "post_attention_norm.weight", [dModel]) },
          router: {
            wRouter: at("mlp.router.weight", "ffn_gate_inp.weight", [c.sparse.nExperts, dModel]),
            bRouter: at("mlp.router.bias", "ffn_gate_inp.bias", [c.sparse.nExperts]),
          },
          experts: expertWeights(`model.layers.${i}.mlp.experts`, `blk.${i}`, c),
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
        const routing = gptOssRouter(x, block.router, c.sparse);
        const routed = experts(x, routing, block.experts, (pre, preLinear) => clampedGlu(pre, preLinear, c.swiglu));
        resid = point("residPost", add(resid, point("mlp.contribution", sparseOut(routed))));
      });
    }
    return resid;
  },

  unembed(c, w, resid, wanted) {
    return matmul(wantedRows(rmsNorm(resid, w.lnFinal, c), wanted), w.unembed); // [R, vocabSize]
  },
});

/** The tensors themselves say which of them are quantised, and MXFP4 is how. */
function requireMxfp4(r: ConfigReader): void {
  const quantization = r.object("quantization_config");
  quantization?.require("quant_method", "mxfp4", "the quantisation of this family");
  quantization?.raw("modules_to_not_convert");
  quantization?.finish();
}

/**
 * All experts of a layer. Hugging Face files have each matrix [in, out], with gate and up in every other column, or in
 * MXFP4 [out, in], with them in every other row.
 */
function expertWeights(experts: string, ggufLayer: string, { dModel, sparse: { nExperts, dExpert } }: GptOssConfig) {
  const [gateUp, down] = [`${experts}.gate_up_proj`, `${experts}.down_proj`];
  const branch = (kind: "gate" | "up") => {
    const everyOther = { rows: [kind === "gate" ? 0 : 1, 2 * dExpert], step: 2 } as const;
    const plain = matrices(gateUp, nExperts, { ...everyOther, transposed: true });
    const matrix = new WeightSpec(
      [nExperts, dExpert, dModel],
      [plain, mxfp4Matrices(gateUp, nExperts, everyOther)],
      [whole(`${ggufLayer}.ffn_${kind}_exps.weight`)],
    );
    const inGguf = [whole(`${ggufLayer}.ffn_${kind}_exps.bias`)];
    return {
      matrix,
      bias: new WeightSpec([nExperts, dExpert], [matrices(`${gateUp}_bias`, nExperts, everyOther)], inGguf),
    };
  };
  const [gate, up] = [branch("gate"), branch("up")];
  return {
    wGate: gate.matrix,
    wUp: up.matrix,
    wDown: new WeightSpec(
      [nExperts, dModel, dExpert],
      [whole(down, { transposed: true }), mxfp4Matrices(down, nExperts)],
      [whole(`${ggufLayer}.ffn_down_exps.weight`)],
    ),
    bGate: gate.bias,
    bUp: up.bias,
    bDown: stored(`${down}_bias`, [nExperts, dModel], { gguf: `${ggufLayer}.ffn_down_exps.bias` }),
  };
}
