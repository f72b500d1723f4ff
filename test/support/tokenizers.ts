/** Tokenizers that tests run on: small ones of the repository, and real ones where a folder with them is named. */

import { readdirSync, readFileSync } from "node:fs";
import { openFolder } from "../../node/files.ts";
import { openGguf } from "../../src/checkpoint/gguf.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { fixture } from "./fixtures.ts";

export const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8"));

/** Files of test/fixtures/tokenizers/ with a tokenizer and what it makes of texts. */
export const tokenizerFixtures: readonly string[] = readdirSync(fixture("tokenizers"))
  .filter((file) => file !== "gguf-pre.json")
  .map((file) => file.replace(".json", ""));

/**
 * A folder with `tokenizers/<name>` and `tokenizer-vectors`: vocabularies of llama.cpp with the ids that Hugging Face's
 * tokenizers give for the texts of `.inp`, and the test vectors of transformers.js.
 */
export const { GOLGI_TOKENIZERS: elsewhere } = process.env;
export const vectors = `${elsewhere}/tokenizer-vectors`;

export async function ofGguf(name: string): Promise<Tokenizer> {
  const { values, close } = await openGguf(await openFolder(`${vectors}/llama.cpp-models`), `ggml-vocab-${name}.gguf`);
  await close();
  return Tokenizer.fromGguf(values, name);
}

export async function ofJson(name: string): Promise<Tokenizer> {
  return Tokenizer.fromJson(readJson(`${elsewhere}/tokenizers/${name}/tokenizer.json`), undefined, name);
}

/** Llama 3's vocabulary and merges, with the first of its special tokens. */
export async function ofLlama3(addsBos: boolean): Promise<Tokenizer> {
  const folder = `${elsewhere}/tokenizers/llama3`;
  const ids: Record<string, number> = readJson(`${folder}/ollama_llama3.2_encoder.json`);
  const tokens = Object.keys(ids).sort((a, b) => ids[a] - ids[b]);
  const merges = readFileSync(`${folder}/ollama_llama3.2_vocab.bpe`, "utf8").trim().split("\n");
  const special = ["<|begin_of_text|>", "<|end_of_text|>"];
  const values = {
    ...{ model: "gpt2", pre: "llama-bpe", tokens: [...tokens, ...special], merges },
    token_type: [...tokens.map(() => 1), ...special.map(() => 3)],
    ...{ bos_token_id: tokens.length, eos_token_id: tokens.length + 1, add_bos_token: addsBos },
  };
  return Tokenizer.fromGguf(
    new Map(Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, { value }])),
    "llama3",
  );
}
