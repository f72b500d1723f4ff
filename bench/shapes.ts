/** The models that are compared with a peer: shapes of released ones, so that everybody knows their size. */
import type { GgufMetadata, GgufValue } from "../src/checkpoint/gguf-values.ts";

/** One weight under its names in both kinds of files. */
export interface ShapeTensor {
  readonly name: string;
  readonly ggufName: string;
  /** As safetensors have it. */
  readonly shape: readonly number[];
  /** A norm's gain: ones, in float32 in a GGUF file as all vectors are. */
  readonly isGain: boolean;
  /** GPT-2's projections, which safetensors hold [in, out]. */
  readonly isTransposed: boolean;
  /** Kept in float32 where llama.cpp's converter keeps it so. */
  readonly isFloat32InGguf: boolean;
}

export interface ModelShape {
  readonly title: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly metadata: GgufMetadata;
  readonly tensors: readonly ShapeTensor[];
  readonly vocabSize: number;
  /** Multiply-adds of the unembedding alone, for each row whose logits are wanted. */
  readonly unembedMultiplyAdds: number;
}

export const SHAPES = {
  gpt2: gpt2Shape({ nLayers: 12, dModel: 768, nHeads: 12, vocabSize: 50257, contextLength: 1024 }),
  "llama-1b": llamaShape({
    title: "Llama 3.2 1B",
    nLayers: 16,
    dModel: 2048,
    nHeads: 32,
    nKvHeads: 8,
    headDim: 64,
    dFf: 8192,
    vocabSize: 128256,
    contextLength: 131072,
  }),
  tiny: llamaShape({
    title: "tiny Llama",
    nLayers: 2,
    dModel: 64,
    nHeads: 4,
    nKvHeads: 2,
    headDim: 16,
    dFf: 160,
    vocabSize: 512,
    contextLength: 1024,
  }),
} as const satisfies Record<string, ModelShape>;

export type ShapeName = keyof typeof SHAPES;

export interface Gpt2Sizes {
  readonly nLayers: number;
  readonly dModel: number;
  readonly nHeads: number;
  readonly vocabSize: number;
  readonly contextLength: number;
}

export function gpt2Shape({ nLayers, dModel, nHeads, vocabSize, contextLength }: Gpt2Sizes): ModelShape {
  const dFf = 4 * dModel;
  const block = (i: number): ShapeTensor[] => {
    const at = (name: string, gguf: string, shape: readonly number[], rest: Partial<ShapeTensor> = {}) =>
      tensor(`transformer.h.${i}.${name}`, `blk.${i}.${gguf}`, shape, rest);
    const projection = (name: string, gguf: string, nIn: number, nOut: number) => [
      at(`${name}.weight`, `${gguf}.weight`, [nIn, nOut], { isTransposed: true }),
      at(`${name}.bias`, `${gguf}.bias`, [nOut]),
    ];
    return [
      at("ln_1.weight", "attn_norm.weight", [dModel], { isGain: true }),
      at("ln_1.bias", "attn_norm.bias", [dModel]),
      ...projection("attn.c_attn", "attn_qkv", dModel, 3 * dModel),
      ...projection("attn.c_proj", "attn_output", dModel, dModel),
      at("ln_2.weight", "ffn_norm.weight", [dModel], { isGain: true }),
      at("ln_2.bias", "ffn_norm.bias", [dModel]),
      ...projection("mlp.c_fc", "ffn_up", dModel, dFf),
      ...projection("mlp.c_proj", "ffn_down", dFf, dModel),
    ];
  };
  return {
    title: "GPT-2 small",
    config: {
      model_type: "gpt2",
      n_layer: nLayers,
      n_embd: dModel,
      n_head: nHeads,
      n_positions: contextLength,
      vocab_size: vocabSize,
    },
    metadata: metadata("gpt2", {
      block_count: u32(nLayers),
      context_length: u32(contextLength),
      embedding_length: u32(dModel),
      feed_forward_length: u32(dFf),
      "attention.head_count": u32(nHeads),
      "attention.layer_norm_epsilon": f32(1e-5),
      vocab_size: u32(vocabSize),
    }),
    tensors: [
      tensor("transformer.wte.weight", "token_embd.weight", [vocabSize, dModel]),
      tensor("transformer.wpe.weight", "position_embd.weight", [contextLength, dModel], { isFloat32InGguf: true }),
      ...Array.from({ length: nLayers }, (_, i) => block(i)).flat(),
      tensor("transformer.ln_f.weight", "output_norm.weight", [dModel], { isGain: true }),
      tensor("transformer.ln_f.bias", "output_norm.bias", [dModel]),
    ],
    vocabSize,
    unembedMultiplyAdds: vocabSize * dModel,
  };
}

interface LlamaSizes extends Gpt2Sizes {
  readonly title: string;
  readonly nKvHeads: number;
  readonly headDim: number;
  readonly dFf: number;
}

export function llamaShape(sizes: LlamaSizes): ModelShape {
  const { title, nLayers, dModel, nHeads, nKvHeads, headDim, dFf, vocabSize, contextLength } = sizes;
  const [dQ, dKv, ropeTheta, normEps] = [nHeads * headDim, nKvHeads * headDim, 500_000, 1e-5];
  const block = (i: number): ShapeTensor[] => {
    const at = (name: string, gguf: string, shape: readonly number[], rest: Partial<ShapeTensor> = {}) =>
      tensor(`model.layers.${i}.${name}.weight`, `blk.${i}.${gguf}.weight`, shape, rest);
    return [
      at("input_layernorm", "attn_norm", [dModel], { isGain: true }),
      at("self_attn.q_proj", "attn_q", [dQ, dModel]),
      at("self_attn.k_proj", "attn_k", [dKv, dModel]),
      at("self_attn.v_proj", "attn_v", [dKv, dModel]),
      at("self_attn.o_proj", "attn_output", [dModel, dQ]),
      at("post_attention_layernorm", "ffn_norm", [dModel], { isGain: true }),
      at("mlp.gate_proj", "ffn_gate", [dFf, dModel]),
      at("mlp.up_proj", "ffn_up", [dFf, dModel]),
      at("mlp.down_proj", "ffn_down", [dModel, dFf]),
    ];
  };
  return {
    title,
    config: {
      model_type: "llama",
      num_hidden_layers: nLayers,
      hidden_size: dModel,
      num_attention_heads: nHeads,
      num_key_value_heads: nKvHeads,
      head_dim: headDim,
      intermediate_size: dFf,
      vocab_size: vocabSize,
      max_position_embeddings: contextLength,
      rms_norm_eps: normEps,
      rope_theta: ropeTheta,
      tie_word_embeddings: true,
    },
    metadata: metadata("llama", {
      block_count: u32(nLayers),
      context_length: u32(contextLength),
      embedding_length: u32(dModel),
      feed_forward_length: u32(dFf),
      "attention.head_count": u32(nHeads),
      "attention.head_count_kv": u32(nKvHeads),
      "attention.key_length": u32(headDim),
      "attention.value_length": u32(headDim),
      "attention.layer_norm_rms_epsilon": f32(normEps),
      "rope.freq_base": f32(ropeTheta),
      "rope.dimension_count": u32(headDim),
      vocab_size: u32(vocabSize),
    }),
    tensors: [
      tensor("model.embed_tokens.weight", "token_embd.weight", [vocabSize, dModel]),
      ...Array.from({ length: nLayers }, (_, i) => block(i)).flat(),
      tensor("model.norm.weight", "output_norm.weight", [dModel], { isGain: true }),
    ],
    vocabSize,
    unembedMultiplyAdds: vocabSize * dModel,
  };
}

export function tensor(
  name: string,
  ggufName: string,
  shape: readonly number[],
  rest: Partial<ShapeTensor> = {},
): ShapeTensor {
  const isFloat32InGguf = shape.length === 1;
  return { name, ggufName, shape, isGain: false, isTransposed: false, isFloat32InGguf, ...rest };
}

/**
 * Token ids are all that a benchmark needs, but llama.cpp does not run without a vocabulary: this one has the form of
 * SentencePiece's, three special tokens, the 256 bytes and then words.
 */
export function metadata(architecture: string, own: Readonly<Record<string, GgufValue>>): GgufMetadata {
  const vocabSize = Number(own.vocab_size?.value);
  const nFirst = 3 + 256;
  const words = Array.from({ length: vocabSize - nFirst }, (_, i) => `\u2581w${i}`);
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`);
  const [unknown, control, byte, normal] = [2, 3, 6, 1];
  const types = [unknown, control, control, ...bytes.map(() => byte), ...words.map(() => normal)];
  return new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: architecture }],
    ["general.name", { type: "string", value: "random weights for a benchmark" }],
    ...Object.entries(own).map(([key, value]) => [`${architecture}.${key}`, value] as const),
    ["tokenizer.ggml.model", { type: "string", value: "llama" }],
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: ["<unk>", "<s>", "</s>", ...bytes, ...words] }],
    ["tokenizer.ggml.scores", { type: "array", of: "f32", value: types.map((type, i) => (type === normal ? -i : 0)) }],
    ["tokenizer.ggml.token_type", { type: "array", of: "i32", value: types }],
    ["tokenizer.ggml.bos_token_id", u32(1)],
    ["tokenizer.ggml.eos_token_id", u32(2)],
    ["tokenizer.ggml.unknown_token_id", u32(0)],
  ]);
}

export function u32(value: number): GgufValue {
  return { type: "u32", value };
}

export function f32(value: number): GgufValue {
  return { type: "f32", value };
}
