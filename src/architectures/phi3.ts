import { GGUF_KEYS } from "../config/gguf.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { type RopeConfig, readPartialRotaryFactor, readRope, rotaryDimOf } from "../config/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { rmsNorm } from "../nn/norm.ts";
import { rotary } from "../nn/rotary.ts";
import { add, matmul, selectRows } from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import { stored, storedIn } from "../weights/schema.ts";
import { defineArchitecture, embeddings, type HasWeight, wantedRows } from "./architecture.ts";

/**
 * Phi-3 and Phi-3.5 (arXiv:2404.14219), Phi-4 (arXiv:2412.08905) and Phi-4-mini (arXiv:2503.01743).
 *
 * - pre-norm with RMSNorm, no biases, SwiGLU, grouped-query or multi-head attention
 * - q, k and v in one fused projection, gate and up in another
 * - rotary embedding, of the first three quarters of each head in Phi-4-mini; longrope scaling for contexts of 128k
 * - a sliding window in all layers (Phi-3-mini)
 * - unembedding of its own, or tied to the embedding (Phi-4-mini)
 *
 * Reference: transformers `modeling_phi3.py`. llama.cpp does not slide, whatever the file says.
 */
interface Phi3Config extends ModelConfig {
  readonly rope: RopeConfig;
  /** Positions before which longrope scaling, if any, takes the short factors. */
  readonly originalContextLength: number;
  /** Dimensions of a head that turn, the first ones. */
  readonly rotaryDim: number;
  /** Keys that a row sees; all before it where undefined. */
  readonly window: number | undefined;
  readonly tiedEmbedding: boolean;
}

export const phi3 = defineArchitecture({
  name: "phi3",
  modelTypes: ["phi3"],
  prefix: "model.",
  absentPoints: { posEmbed: "positions enter through the rotary embedding of q and k" },
  ignoredTensors: [
    { pattern: /rotary_emb\.inv_freq$/, reason: "follows from the config" },
    { pattern: /^lm_head\.weight$/, reason: "tied to the embedding" },
  ],

  config(r): Phi3Config {
    const dModel = r.size("hidden_size");
    const nHeads = r.size("num_attention_heads");
    const headDim = r.optionalSize("head_dim") ?? dModel / nHeads;
    const contextLength = r.size("max_position_embeddings", 4096);
    const originalContextLength = r.size("original_max_position_embeddings", 4096);
    const partialRotaryFactor = readPartialRotaryFactor(r);
    // Phi-3's first files said "su", those of Phi-3-small "yarn"; transformers takes either for longrope.
    const longropeNames = ["su", "yarn"];
    r.require("hidden_act", "silu", "the activation of this family");
    for (const bias of ["attention_bias", "mlp_bias", "lm_head_bias"]) {
      r.require(bias, false, "as in all released models");
    }
    for (const key of ["full_attn_mod", "interpolate_factor"]) r.require(key, 1, "as in Phi-4-mini");
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
      rope: readRope(r, contextLength, headDim, { partialRotaryFactor, originalContextLength, longropeNames }),
      originalContextLength,
      rotaryDim: rotaryDimOf(headDim, partialRotaryFactor),
      window: r.optionalSize("sliding_window"),
      tiedEmbedding: r.flag("tie_word_embeddings", false),
    };
  },

  gguf: {
    architecture: "phi3",
    modelType: "phi3",
    className: "Phi3ForCausalLM",
    hasLongropeFactors: true,
    keys: GGUF_KEYS,
    optionalKeys: { original_max_position_embeddings: "rope.scaling.original_context_length" },
    neutral: { "rope.scaling.type": "longrope" },
    entries: {
      "rope.scaling.original_context_length": { type: "u32", of: ({ originalContextLength }) => originalContextLength },
      "rope.dimension_count": { type: "u32", of: ({ rotaryDim }) => rotaryDim },
      "attention.sliding_window": { type: "u32", of: ({ window = 0 }) => window },
    },
    reworded(own, { head_dim }) {
      const [rotaryDim, window] = ["rope.dimension_count", "attention.sliding_window"].map((key) => own.get(key));
      return {
        json: {
          ...(rotaryDim !== undefined && { partial_rotary_factor: Number(rotaryDim) / Number(head_dim) }),
          // 0 is none.
          sliding_window: window === 0 || window === undefined ? null : window,
        },
        keys: ["rope.dimension_count", "attention.sliding_window"],
      };
    },
  },

  weights(c: Phi3Config, has: HasWeight) {
    const { dModel, dFf } = c;
    const { embed, unembed } = embeddings(c, has);
    return {
      embed,
      blocks: Array.from({ length: c.nLayers }, (_, i) => {
        const at = storedIn(`model.layers.${i}`, `blk.${i}`);
        const [dQ, dKv] = [c.nHeads * c.headDim, c.nKvHeads * c.headDim];
        const qkv = (nRows: number, from: number) =>
          at("self_attn.qkv_proj.weight", "attn_qkv.weight", [nRows, dModel], { rows: [from, from + nRows] });
        const gateUp = (from: number) =>
          at("mlp.gate_up_proj.weight", "ffn_up.weight", [dFf, dModel], { rows: [from, from + dFf] });
        return {
          ln1: { gain: at("input_layernorm.weight", "attn_norm.weight", [dModel]) },
          attn: {
            wQ: qkv(dQ, 0),
            wK: qkv(dKv, dQ),
            wV: qkv(dKv, dQ + dKv),
            wO: at("self_attn.o_proj.weight", "attn_output.weight", [dModel, dQ]),
          },
          ln2: { gain: at("post_attention_layernorm.weight", "ffn_norm.weight", [dModel]) },
          mlp: {
            wGate: gateUp(0),
            wUp: gateUp(dFf),
            wDown: at("mlp.down_proj.weight", "ffn_down.weight", [dModel, dFf]),
          },
        };
      }),
      lnFinal: { gain: stored("model.norm.weight", [dModel], { gguf: "output_norm.weight" }) },
      unembed,
    };
  },

  forward(c, w, { tokens, rows, cache }) {
    const prepare = rotary(c.rope, c.rotaryDim, rows);
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
