/** Models with experts, and what they are compared with. They exist as GGUF alone, where experts lie in one tensor. */
import type { GgufValue } from "../src/checkpoint/gguf-values.ts";
import { f32, llamaShape, type ModelShape, metadata, type ShapeTensor, tensor, u32 } from "./shapes.ts";

/** One sparse layer without its attention. */
export interface LayerSizes {
  readonly title: string;
  readonly dModel: number;
  readonly nExperts: number;
  readonly nExpertsPerToken: number;
  readonly dExpert: number;
  readonly dShared: number;
  readonly nGroups: number;
  readonly nGroupsPerToken: number;
}

/** The experts of DeepSeek-V3 (arXiv:2412.19437, §4.2). */
export const DEEPSEEK_V3_LAYER: LayerSizes = {
  title: "A sparse layer of DeepSeek-V3",
  dModel: 7168,
  nExperts: 256,
  nExpertsPerToken: 8,
  dExpert: 2048,
  dShared: 2048,
  nGroups: 8,
  nGroupsPerToken: 4,
};

export const TINY_LAYER: LayerSizes = {
  title: "A tiny sparse layer",
  dModel: 64,
  nExperts: 16,
  nExpertsPerToken: 4,
  dExpert: 32,
  dShared: 32,
  nGroups: 4,
  nGroupsPerToken: 2,
};

/** Its tensors under the names of block 0; no model that could be opened. */
export function layerShape({ title, dModel, nExperts, dExpert, dShared }: LayerSizes): ModelShape {
  return {
    title,
    config: {},
    metadata: new Map<string, GgufValue>([
      ["general.name", { type: "string", value: "random weights for a benchmark" }],
    ]),
    tensors: [
      ggufTensor("blk.0.ffn_gate_inp.weight", [nExperts, dModel], { isFloat32InGguf: true }),
      ggufTensor("blk.0.exp_probs_b.bias", [nExperts]),
      ...expertTensors(0, { dModel, nExperts, dExpert }),
      ggufTensor("blk.0.ffn_gate_shexp.weight", [dShared, dModel]),
      ggufTensor("blk.0.ffn_up_shexp.weight", [dShared, dModel]),
      ggufTensor("blk.0.ffn_down_shexp.weight", [dModel, dShared]),
    ],
    vocabSize: 0,
    unembedMultiplyAdds: 0,
  };
}

interface SparseSizes {
  readonly title: string;
  readonly nLayers: number;
  readonly dModel: number;
  readonly nHeads: number;
  readonly nExperts: number;
  readonly nExpertsPerToken: number;
  readonly dExpert: number;
  readonly vocabSize: number;
  readonly contextLength: number;
}

/** OLMoE 1B-7B (arXiv:2409.02060, Table 10). */
export const OLMOE: SparseSizes = {
  title: "OLMoE 1B-7B",
  nLayers: 16,
  dModel: 2048,
  nHeads: 16,
  nExperts: 64,
  nExpertsPerToken: 8,
  dExpert: 1024,
  vocabSize: 50304,
  contextLength: 4096,
};

export const TINY_OLMOE: SparseSizes = {
  title: "A tiny OLMoE",
  nLayers: 2,
  dModel: 64,
  nHeads: 4,
  nExperts: 8,
  nExpertsPerToken: 2,
  dExpert: 32,
  vocabSize: 512,
  contextLength: 256,
};

/** With the embedding as its unembedding, unlike the released model, as in its dense twin. */
export function olmoeShape(sizes: SparseSizes): ModelShape {
  const { title, nLayers, dModel, nHeads, nExperts, nExpertsPerToken, dExpert, vocabSize, contextLength } = sizes;
  const block = (i: number): ShapeTensor[] => {
    const at = (name: string, shape: readonly number[], rest: Partial<ShapeTensor> = {}) =>
      ggufTensor(`blk.${i}.${name}.weight`, shape, rest);
    return [
      at("attn_norm", [dModel], { isGain: true }),
      ...["attn_q", "attn_k", "attn_v", "attn_output"].map((name) => at(name, [dModel, dModel])),
      at("attn_q_norm", [dModel], { isGain: true }),
      at("attn_k_norm", [dModel], { isGain: true }),
      at("ffn_norm", [dModel], { isGain: true }),
      at("ffn_gate_inp", [nExperts, dModel], { isFloat32InGguf: true }),
      ...expertTensors(i, sizes),
    ];
  };
  return {
    title,
    config: {},
    metadata: metadata("olmoe", {
      block_count: u32(nLayers),
      context_length: u32(contextLength),
      embedding_length: u32(dModel),
      feed_forward_length: u32(dExpert),
      "attention.head_count": u32(nHeads),
      "attention.head_count_kv": u32(nHeads),
      "attention.layer_norm_rms_epsilon": f32(1e-5),
      "rope.freq_base": f32(10_000),
      expert_count: u32(nExperts),
      expert_used_count: u32(nExpertsPerToken),
      vocab_size: u32(vocabSize),
    }),
    tensors: [
      ggufTensor("token_embd.weight", [vocabSize, dModel]),
      ...Array.from({ length: nLayers }, (_, i) => block(i)).flat(),
      ggufTensor("output_norm.weight", [dModel], { isGain: true }),
    ],
    vocabSize,
    unembedMultiplyAdds: vocabSize * dModel,
  };
}

/** A dense model of the same size: its one MLP is as large as all experts of a layer together. */
export function denseTwinShape({ nExperts, dExpert, ...sizes }: SparseSizes): ModelShape {
  const { dModel, nHeads } = sizes;
  const dense = { nKvHeads: nHeads, headDim: dModel / nHeads, dFf: nExperts * dExpert };
  return llamaShape({ ...sizes, ...dense, title: "a dense model of the same size" });
}

function expertTensors(i: number, { dModel, nExperts, dExpert }: Pick<SparseSizes, "dModel" | "nExperts" | "dExpert">) {
  return [
    ggufTensor(`blk.${i}.ffn_gate_exps.weight`, [nExperts, dExpert, dModel]),
    ggufTensor(`blk.${i}.ffn_up_exps.weight`, [nExperts, dExpert, dModel]),
    ggufTensor(`blk.${i}.ffn_down_exps.weight`, [nExperts, dModel, dExpert]),
  ];
}

function ggufTensor(name: string, shape: readonly number[], rest: Partial<ShapeTensor> = {}): ShapeTensor {
  return tensor(name, name, shape, rest);
}
