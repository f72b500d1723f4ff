/**
 * Converts a llama2.c checkpoint (karpathy/llama2.c, export.py version 0) and its vocabulary to a Hugging Face
 * directory. Usage: node scripts/import-llama2c.ts <model.bin> <tok.bin> <out-dir>
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeSafetensors, type NamedTensor } from "../src/checkpoint/write-safetensors.ts";
import { CheckpointError } from "../src/errors.ts";

/** llama2.c has no name for them in its files: run.c relies on these places. */
const SPECIAL_TOKENS = ["<unk>", "<s>", "</s>"];
const [BOS_ID, EOS_ID] = [1, 2];
/** First field of the versions 1 and 2, "ak42". */
const LATER_VERSION_MAGIC = 0x616b3432;

interface Config {
  readonly dModel: number;
  readonly dFf: number;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly isTied: boolean;
}

/** The files of the Hugging Face directory by name; `modelName` and `vocabularyName` are for errors. */
export function convertLlama2c(
  model: Uint8Array,
  vocabulary: Uint8Array,
  modelName = "model.bin",
  vocabularyName = "tok.bin",
): Map<string, string | Uint8Array> {
  const config = readConfig(model, modelName);
  const tensors = readTensors(model, config, modelName);
  const tokens = readVocabulary(vocabulary, config.vocabSize, vocabularyName);
  return new Map<string, string | Uint8Array>([
    ["config.json", json(modelConfig(config))],
    ["generation_config.json", json({ bos_token_id: BOS_ID, eos_token_id: [BOS_ID, EOS_ID] })],
    ["model.safetensors", encodeSafetensors(tensors, { format: "pt" })],
    ["tokenizer.json", json(tokenizerJson(tokens))],
    ["tokenizer_config.json", json(tokenizerConfig(config))],
  ]);
}

// --- weights ---------------------------------------------------------------------------------------------------------

function readConfig(model: Uint8Array, path: string): Config {
  if (model.length < 28) throw truncated(path, "a header of 28 bytes", `${model.length} bytes`);
  const header = new DataView(model.buffer, model.byteOffset, 28);
  const [dModel, dFf, nLayers, nHeads, nKvHeads, signedVocabSize, contextLength] = Array.from({ length: 7 }, (_, i) =>
    header.getInt32(4 * i, true),
  );
  if (dModel === LATER_VERSION_MAGIC) {
    const remedy = "Export the model with `export.py --version 0`.";
    throw refuse(path, "the file must be of version 0, which has no magic number", "a later version", remedy);
  }
  const vocabSize = Math.abs(signedVocabSize);
  const config = { dModel, dFf, nLayers, nHeads, nKvHeads, vocabSize, contextLength };
  const isPlausible = Object.values(config).every((size) => size > 0 && size < 2 ** 24);
  if (!isPlausible || dModel % nHeads !== 0 || nHeads % nKvHeads !== 0 || (dModel / nHeads) % 2 !== 0) {
    const expected = "the header's sizes must be positive, and heads must divide dModel into even parts";
    throw refuse(path, expected, JSON.stringify(config), "Is it a llama2.c checkpoint of version 0?");
  }
  return { ...config, headDim: dModel / nHeads, isTied: signedVocabSize > 0 };
}

/** In the order of the file, where each kind of weight is stacked over the layers. */
function readTensors(model: Uint8Array, c: Config, path: string): NamedTensor[] {
  const kvDim = c.nKvHeads * c.headDim;
  const reader = new FloatReader(model, 28, path);
  const tensors: NamedTensor[] = [];
  const add = (name: string, shape: number[], order = (data: Float32Array) => data) => {
    tensors.push({ name, shape, data: order(reader.take(name, shape)) });
  };
  const addLayers = (name: string, shape: number[], order?: (data: Float32Array) => Float32Array) => {
    for (let i = 0; i < c.nLayers; i++) add(`model.layers.${i}.${name}.weight`, shape, order);
  };

  add("model.embed_tokens.weight", [c.vocabSize, c.dModel]);
  addLayers("input_layernorm", [c.dModel]);
  addLayers("self_attn.q_proj", [c.dModel, c.dModel], (data) => halvesFromPairs(data, c.nHeads, c));
  addLayers("self_attn.k_proj", [kvDim, c.dModel], (data) => halvesFromPairs(data, c.nKvHeads, c));
  addLayers("self_attn.v_proj", [kvDim, c.dModel]);
  addLayers("self_attn.o_proj", [c.dModel, c.dModel]);
  addLayers("post_attention_layernorm", [c.dModel]);
  addLayers("mlp.gate_proj", [c.dFf, c.dModel]);
  addLayers("mlp.down_proj", [c.dModel, c.dFf]);
  addLayers("mlp.up_proj", [c.dFf, c.dModel]);
  add("model.norm.weight", [c.dModel]);
  reader.take("RoPE tables", [2, c.contextLength, c.headDim / 2]);
  if (!c.isTied) add("lm_head.weight", [c.vocabSize, c.dModel]);
  reader.end();
  return tensors;
}

/**
 * llama2.c rotates neighbouring rows (2i, 2i + 1) of a head, Hugging Face rows i and i + headDim/2: row 2i + j of each
 * head moves to row j * headDim/2 + i.
 */
function halvesFromPairs(data: Float32Array, nHeads: number, { dModel, headDim }: Config): Float32Array {
  const out = new Float32Array(data.length);
  for (let row = 0; row < nHeads * headDim; row++) {
    const [head, inHead] = [Math.floor(row / headDim), row % headDim];
    const to = head * headDim + (inHead % 2) * (headDim / 2) + Math.floor(inHead / 2);
    out.set(data.subarray(row * dModel, (row + 1) * dModel), to * dModel);
  }
  return out;
}

class FloatReader {
  readonly #bytes: Uint8Array;
  readonly #path: string;
  #offset: number;

  constructor(bytes: Uint8Array, offset: number, path: string) {
    this.#bytes = bytes;
    this.#offset = offset;
    this.#path = path;
  }

  take(name: string, shape: readonly number[]): Float32Array {
    const length = shape.reduce((product, size) => product * size, 1);
    const end = this.#offset + 4 * length;
    if (end > this.#bytes.length) {
      throw truncated(this.#path, `${name} of ${length} floats up to byte ${end}`, `${this.#bytes.length} bytes`);
    }
    // Not slice(), which on a Buffer is a view of the whole file.
    const floats = new Float32Array(new Uint8Array(this.#bytes.subarray(this.#offset, end)).buffer);
    this.#offset = end;
    return floats;
  }

  end(): void {
    if (this.#offset === this.#bytes.length) return;
    const expected = `the file must end after its last tensor, at byte ${this.#offset}`;
    const got = `${this.#bytes.length - this.#offset} more`;
    throw refuse(this.#path, expected, got, "Is it a llama2.c checkpoint of version 0?");
  }
}

// --- vocabulary ------------------------------------------------------------------------------------------------------

interface Token {
  readonly text: string;
  readonly score: number;
}

/** llama2.c writes a space for SentencePiece's ▁, and line breaks around the names of BOS and EOS. */
function readVocabulary(bytes: Uint8Array, vocabSize: number, path: string): Token[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tokens: Token[] = [];
  let offset = 4; // after the greatest length, which only run.c needs
  for (let id = 0; id < vocabSize; id++) {
    const textOffset = offset + 8;
    if (textOffset > bytes.length) throw truncated(path, `${vocabSize} tokens`, `${id} tokens`);
    const score = view.getFloat32(offset, true);
    const length = view.getInt32(offset + 4, true);
    if (length < 0) throw refuse(path, `the length of token ${id} must not be negative`, `${length}`);
    offset = textOffset + length;
    if (offset > bytes.length) throw truncated(path, `token ${id} of ${length} bytes`, `${bytes.length} bytes in all`);
    tokens.push({ score, text: SPECIAL_TOKENS[id] ?? readText(bytes.subarray(textOffset, offset), id, path) });
  }
  if (offset !== bytes.length) {
    const expected = `the file must end after ${vocabSize} tokens, as many as the model has`;
    throw refuse(path, expected, `${bytes.length - offset} more bytes`, "Use the vocabulary of this model.");
  }
  const nTexts = new Set(tokens.map(({ text }) => text)).size;
  if (nTexts !== vocabSize) throw refuse(path, "every token must be there once", `${vocabSize - nTexts} repeated`);
  return tokens;
}

function readText(bytes: Uint8Array, id: number, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes).replaceAll(" ", "▁");
  } catch {
    throw refuse(path, `token ${id} must be UTF-8`, `bytes ${Array.from(bytes).join(" ")}`);
  }
}

/**
 * SentencePiece stores no merges: any two entries whose concatenation is an entry may merge, the best score of the
 * result first. Order of equal scores as in transformers' convert_slow_tokenizer.py (`generate_merges`).
 */
function mergesFromScores(tokens: readonly Token[]): [left: string, right: string][] {
  const idOf = new Map(tokens.map(({ text }, id) => [text, id]));
  const id = (text: string) => idOf.get(text) ?? Number.NaN;
  const merges = tokens.flatMap(({ text, score }) => {
    const characters = Array.from(text);
    return characters
      .slice(1)
      .map((_, i) => ({
        left: characters.slice(0, i + 1).join(""),
        right: characters.slice(i + 1).join(""),
        nLeft: i + 1,
        score,
      }))
      .filter(({ left, right }) => idOf.has(left) && idOf.has(right))
      .sort((a, b) => id(a.left) - id(b.left) || id(a.right) - id(b.right));
  });
  return merges
    .sort((a, b) => b.score - a.score || b.nLeft - a.nLeft || Array.from(b.right).length - Array.from(a.right).length)
    .map(({ left, right }) => [left, right]);
}

// --- Hugging Face files ----------------------------------------------------------------------------------------------

function modelConfig(c: Config) {
  return {
    architectures: ["LlamaForCausalLM"],
    attention_bias: false,
    bos_token_id: BOS_ID,
    eos_token_id: EOS_ID,
    head_dim: c.headDim,
    hidden_act: "silu",
    hidden_size: c.dModel,
    intermediate_size: c.dFf,
    max_position_embeddings: c.contextLength,
    mlp_bias: false,
    model_type: "llama",
    num_attention_heads: c.nHeads,
    num_hidden_layers: c.nLayers,
    num_key_value_heads: c.nKvHeads,
    rms_norm_eps: 1e-5, // a constant of run.c, as is rope_theta
    rope_theta: 10000,
    tie_word_embeddings: c.isTied,
    torch_dtype: "float32",
    vocab_size: c.vocabSize,
  };
}

function tokenizerJson(tokens: readonly Token[]) {
  const bos = SPECIAL_TOKENS[BOS_ID];
  const bosItem = (typeId: number) => ({ SpecialToken: { id: bos, type_id: typeId } });
  const textItem = (id: string, typeId: number) => ({ Sequence: { id, type_id: typeId } });
  const space = { String: " " };
  const addedToken = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, id) => ({ id, content, ...addedToken })),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: space, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [bosItem(0), textItem("A", 0)],
      pair: [bosItem(0), textItem("A", 0), bosItem(1), textItem("B", 1)],
      special_tokens: { [bos]: { id: bos, ids: [BOS_ID], tokens: [bos] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: SPECIAL_TOKENS[0],
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map(({ text }, id) => [text, id])),
      merges: mergesFromScores(tokens).map(([left, right]) => `${left} ${right}`),
    },
  };
}

function tokenizerConfig(c: Config) {
  const [unkToken, bosToken, eosToken] = SPECIAL_TOKENS;
  return {
    add_bos_token: true,
    add_eos_token: false,
    bos_token: bosToken,
    clean_up_tokenization_spaces: false,
    eos_token: eosToken,
    legacy: true,
    model_max_length: c.contextLength,
    tokenizer_class: "LlamaTokenizer",
    unk_token: unkToken,
  };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function refuse(path: string, expected: string, got: string, remedy?: string): CheckpointError {
  return new CheckpointError("checkpoint.header", { path, expected, got, remedy });
}

function truncated(path: string, expected: string, got: string): CheckpointError {
  const remedy = "The file is not whole: download it again.";
  return new CheckpointError("checkpoint.truncated", { path, expected: `the file must hold ${expected}`, got, remedy });
}

async function main(args: readonly string[]): Promise<void> {
  if (args.length !== 3) throw new Error("Usage: node scripts/import-llama2c.ts <model.bin> <tok.bin> <out-dir>");
  const [modelPath, vocabularyPath, outDir] = args;
  const [model, vocabulary] = await Promise.all([readFile(modelPath), readFile(vocabularyPath)]);
  await mkdir(outDir, { recursive: true });
  for (const [name, content] of convertLlama2c(model, vocabulary, modelPath, vocabularyPath)) {
    await writeFile(join(outDir, name), content);
    console.log(join(outDir, name));
  }
}

if (import.meta.main) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
