/** llama.cpp as npm has it, for comparing with golgi: what of node-llama-cpp is used, and how. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { ensurePeer } from "../../bench/peers.ts";

export interface Llama {
  loadModel(options: { modelPath: string }): Promise<LlamaModel>;
  dispose(): Promise<void>;
}

export interface LlamaModel {
  tokenize(text: string): number[];
  readonly tokens: { readonly bos: number | null };
  dispose(): Promise<void>;
  createContext(options: object): Promise<{ getSequence(): LlamaSequence }>;
}

export interface LlamaSequence {
  clearHistory(): Promise<void>;
  evaluate(tokens: number[], options: { temperature: number; yieldEogToken: boolean }): AsyncIterable<number>;
  controlledEvaluate(input: readonly ControlledToken[]): Promise<readonly { next: { logits: Map<number, number> } }[]>;
}

type ControlledToken = readonly [token: number, options: { generateNext: { token: false; logits: true } }];

interface Library {
  readonly LlamaLogLevel: { readonly error: string };
  getLlama(options: object): Promise<Llama>;
}

/** Installs it into bench/peers where it is not there yet. */
export async function startLlama(): Promise<Llama> {
  const peer = ensurePeer("node-llama-cpp");
  if ("missing" in peer) throw new Error(peer.missing);
  const library = new URL("../../bench/peers/node_modules/node-llama-cpp/dist/index.js", import.meta.url);
  const { getLlama, LlamaLogLevel } = (await import(library.href)) as Library;
  const settings = { gpu: false, build: "never", skipDownload: true, progressLogs: false, maxThreads: 1 };
  return getLlama({ ...settings, logLevel: LlamaLogLevel.error });
}

/** A context whose keys and values stay float32. */
export async function openSequence(model: LlamaModel, contextSize: number): Promise<LlamaSequence> {
  const cache = { experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" };
  const context = await model.createContext({ contextSize, threads: 1, flashAttention: false, ...cache });
  return context.getSequence();
}

/** Logits at every position, from an empty context. [T][vocabSize] */
export async function logitsOf(sequence: LlamaSequence, tokens: readonly number[]): Promise<Float32Array[]> {
  await sequence.clearHistory();
  const wanted = { generateNext: { token: false, logits: true } } as const;
  const rows = await sequence.controlledEvaluate(tokens.map((token) => [token, wanted]));
  return rows.map(({ next: { logits } }) =>
    Float32Array.from({ length: logits.size }, (_, id) => logits.get(id) ?? NaN),
  );
}

/** Gives a model without a tokenizer one whose tokens are letters, since node-llama-cpp opens none without. */
export async function writeLetters(folder: string): Promise<void> {
  const letters = "abcdefghijklmnopqrstuvwxyzĠ,.!?-;'";
  const tokens = [...letters, "ab"];
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const tokenizer = {
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: ["a b"] },
  };
  await writeFile(path.join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
}
