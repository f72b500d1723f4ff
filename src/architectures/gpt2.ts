import type { ModelConfig } from "../config/model-config.ts";
import { selfAttention } from "../nn/attention.ts";
import { mlp } from "../nn/mlp.ts";
import { layerNorm } from "../nn/norm.ts";
import type { ActivationFunction } from "../ops/activate/activate.ts";
import { add, matmul, positions, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import { stored, storedIn } from "../weights/schema.ts";
import { defineArchitecture, type HasWeight, tieEmbedding, wantedRows } from "./architecture.ts";

/**
 * GPT-2 (Radford et al. 2019) and Karpathy's minGPT.
 *
 * - learned absolute positions, pre-norm with LayerNorm, biases everywhere, tanh GELU, multi-head attention
 * - q, k and v in one fused projection; GPT-2 stores projections as Conv1D, [in, out]
 * - unembedding tied to the embedding
 * - minGPT (`model_type: "mingpt"`): projections as Linear, [out, in], and an unembedding of its own
 *
 * Reference: transformers `modeling_gpt2.py`; minGPT `mingpt/model.py`.
 */
interface Gpt2Config extends ModelConfig {
  readonly activation: ActivationFunction;
  /** Divides the scores of layer i by i + 1. */
  readonly scaleByInverseLayer: boolean;
  /** Projections are stored [in, out]. */
  readonly conv1d: boolean;
  readonly tiedEmbedding: boolean;
}

const ACTIVATIONS: Readonly<Record<string, ActivationFunction>> = {
  gelu_new: "geluTanh",
  gelu_pytorch_tanh: "geluTanh",
  gelu: "gelu",
  relu: "relu",
  silu: "silu",
};

export const gpt2 = defineArchitecture({
  name: "gpt2",
  modelTypes: ["gpt2", "mingpt"],
  prefix: "transformer.",
  absentPoints: {
    "attn.rotQ": "positions are learned embeddings, q is not rotated",
    "attn.rotK": "positions are learned embeddings, k is not rotated",
    "mlp.preLinear": "the MLP is not gated",
  },
  ignoredTensors: [
    { pattern: /\.attn\.(bias|masked_bias)$/, reason: "the causal mask, which is not a parameter" },
    { pattern: /^lm_head\.weight$/, reason: "tied to the embedding" },
  ],

  config(r, modelType): Gpt2Config {
    const isMinGpt = modelType === "mingpt";
    const dModel = r.size("n_embd");
    const nHeads = r.size("n_head");
    r.require("add_cross_attention", false, "golgi runs decoders");
    r.require("scale_attn_weights", true, "as in all released models");
    return {
      vocabSize: r.size("vocab_size"),
      dModel,
      nLayers: r.layerCount("n_layer"),
      nHeads,
      nKvHeads: nHeads,
      headDim: dModel / nHeads,
      dFf: r.size("n_inner", 4 * dModel),
      contextLength: r.size(isMinGpt ? "block_size" : "n_positions"),
      normEps: r.positive("layer_norm_epsilon", 1e-5),
      activation: ACTIVATIONS[r.choice("activation_function", Object.keys(ACTIVATIONS), "gelu_new")],
      scaleByInverseLayer: r.flag("scale_attn_by_inverse_layer_idx", false),
      conv1d: !isMinGpt,
      tiedEmbedding: r.flag("tie_word_embeddings", !isMinGpt),
    };
  },

  gguf: {
    architecture: "gpt2",
    modelType: "gpt2",
    className: "GPT2LMHeadModel",
    keys: {
      n_layer: "block_count",
      n_positions: "context_length",
      n_embd: "embedding_length",
      n_inner: "feed_forward_length",
      n_head: "attention.head_count",
      layer_norm_epsilon: "attention.layer_norm_epsilon",
    },
  },

  weights(c: Gpt2Config, has: HasWeight) {
    const { dModel, dFf, vocabSize, conv1d: transposed } = c;
    const table = stored("transformer.wte.weight", [vocabSize, dModel], { gguf: "token_embd.weight" });
    const head = stored("lm_head.weight", [vocabSize, dModel], { gguf: "output.weight" });
    const { embed, unembed } = tieEmbedding(table, head, c.tiedEmbedding, has);
    return {
      embed,
      posEmbed: stored("transformer.wpe.weight", [c.contextLength, dModel], { gguf: "position_embd.weight" }),
      blocks: Array.from({ length: c.nLayers }, (_, i) => {
        const at = storedIn(`transformer.h.${i}`, `blk.${i}`);
        const [q, k, v] = [0, 1, 2].map((third) => [third * dModel, (third + 1) * dModel] as const);
        return {
          ln1: {
            gain: at("ln_1.weight", "attn_norm.weight", [dModel]),
            bias: at("ln_1.bias", "attn_norm.bias", [dModel]),
          },
          attn: {
            wQ: at("attn.c_attn.weight", "attn_qkv.weight", [dModel, dModel], { transposed, rows: q }),
            wK: at("attn.c_attn.weight", "attn_qkv.weight", [dModel, dModel], { transposed, rows: k }),
            wV: at("attn.c_attn.weight", "attn_qkv.weight", [dModel, dModel], { transposed, rows: v }),
            bQ: at("attn.c_attn.bias", "attn_qkv.bias", [dModel], { rows: q }),
            bK: at("attn.c_attn.bias", "attn_qkv.bias", [dModel], { rows: k }),
            bV: at("attn.c_attn.bias", "attn_qkv.bias", [dModel], { rows: v }),
            wO: at("attn.c_proj.weight", "attn_output.weight", [dModel, dModel], { transposed }),
            bO: at("attn.c_proj.bias", "attn_output.bias", [dModel]),
          },
          ln2: {
            gain: at("ln_2.weight", "ffn_norm.weight", [dModel]),
            bias: at("ln_2.bias", "ffn_norm.bias", [dModel]),
          },
          mlp: {
            wUp: at("mlp.c_fc.weight", "ffn_up.weight", [dFf, dModel], { transposed }),
            bUp: at("mlp.c_fc.bias", "ffn_up.bias", [dFf]),
            wDown: at("mlp.c_proj.weight", "ffn_down.weight", [dModel, dFf], { transposed }),
            bDown: at("mlp.c_proj.bias", "ffn_down.bias", [dModel]),
          },
        };
      }),
      lnFinal: {
        gain: stored("transformer.ln_f.weight", [dModel], { gguf: "output_norm.weight" }),
        bias: stored("transformer.ln_f.bias", [dModel], { gguf: "output_norm.bias" }),
      },
      unembed,
    };
  },

  forward(c, w, { tokens, rows, cache }) {
    const embed = point("embed", selectRows(w.embed, tokens)); // [T, dModel]
    const posEmbed = point("posEmbed", selectRows(w.posEmbed, positions(rows))); // [T, dModel]
    let resid = add(embed, posEmbed);
    for (const [i, block] of w.blocks.entries()) {
      scope(`blocks.${i}`, () => {
        point("residPre", resid);
        const scale = c.headDim ** -0.5 / (c.scaleByInverseLayer ? i + 1 : 1);
        const attnOut = selfAttention(layerNorm(resid, block.ln1, c), block.attn, c, rows, cache.layer(i), { scale });
        resid = point("residMid", add(resid, point("attn.contribution", attnOut)));
        const mlpOut = mlp(layerNorm(resid, block.ln2, c), block.mlp, c.activation);
        resid = point("residPost", add(resid, point("mlp.contribution", mlpOut)));
      });
    }
    return resid;
  },

  unembed(c, w, resid, wanted) {
    return matmul(wantedRows(layerNorm(resid, w.lnFinal, c), wanted), w.unembed); // [R, vocabSize]
  },
});
