/** Tokenizers, as JSON or in the metadata of a GGUF file, that are right but for some of their values. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { openGguf } from "../../src/checkpoint/gguf.ts";
import type { GgufMetadata, GgufValue } from "../../src/checkpoint/gguf-values.ts";
import { encodeGguf } from "../../src/checkpoint/write-gguf.ts";
import { readJson } from "../../src/run/files.ts";
import { tokenizerJsonToGguf } from "../../src/tokenizer/to-gguf.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { concat, type MemoryFolder, utf8 } from "../checkpoint-files.ts";
import { stories260K } from "../support/fixtures.ts";
import { type Mutation, mutated } from "./bytes.ts";
import { damaged } from "./gguf-mutations.ts";
import { takeApart } from "./gguf-parts.ts";
import { jsonMutation, jsonText } from "./json.ts";
import { type Files, outcomeOf } from "./sound.ts";

const jsonOf = (name: string) => JSON.parse(readFileSync(`${stories260K}/${name}`, "utf8"));

/** Byte-level, as GPT-2's, with a few merges. */
const BYTE_LEVEL = {
  added_tokens: [{ id: 261, content: "<|end|>", special: true, single_word: false, lstrip: false, rstrip: true }],
  normalizer: {
    type: "Sequence",
    normalizers: [{ type: "NFC" }, { type: "Replace", pattern: { String: "x" }, content: "y" }],
  },
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [
      {
        type: "Split",
        pattern: { Regex: "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+|\\s+" },
        behavior: "Isolated",
        invert: false,
      },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    ],
  },
  post_processor: { type: "ByteLevel", add_prefix_space: true, trim_offsets: false, use_regex: true },
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: byteLevelModel(),
};

/** GPT-2's characters for the bytes, and four merges. */
function byteLevelModel() {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
  let nOthers = 0;
  const symbols = Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(printable(byte) ? byte : 256 + nOthers++),
  );
  const merges = [
    ["h", "e"],
    ["l", "l"],
    ["he", "ll"],
    ["hell", "o"],
    ["Ġ", "hello"],
  ];
  const vocab = Object.fromEntries(
    [...symbols, ...merges.map((pair) => pair.join(""))].map((token, id) => [token, id]),
  );
  return { type: "BPE", dropout: null, unk_token: null, fuse_unk: false, byte_fallback: false, vocab, merges };
}

const bases = [
  [jsonOf("tokenizer.json"), jsonOf("tokenizer_config.json")],
  [BYTE_LEVEL, { eos_token: "<|end|>" }],
] as const;

const TEXT = " hello,  world 123\n\u0000é\u{1F642}x<|end|><s>\uD800";

const asJson = fc
  .tuple(
    fc.constantFrom(...bases),
    fc.array(jsonMutation, { minLength: 1, maxLength: 3 }),
    fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(jsonMutation, { maxLength: 2 })),
  )
  .map(([[json, config], inJson, inConfig]): Files => {
    const file = (base: unknown, mutations: readonly Mutation<unknown>[]) => utf8(jsonText(mutated(base, mutations)));
    return { "tokenizer.json": file(json, inJson), "tokenizer_config.json": file(config, inConfig) };
  });

/** GGUF's spelling of a byte-level vocabulary, and of the SentencePiece one. */
const { vocab, merges } = BYTE_LEVEL.model;
const metadata: readonly GgufMetadata[] = [
  new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: "gpt-2" }],
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: [...Object.keys(vocab), "<|end|>"] }],
    [
      "tokenizer.ggml.token_type",
      { type: "array", of: "i32", value: [...Object.keys(vocab).fill("1").map(Number), 3] },
    ],
    ["tokenizer.ggml.merges", { type: "array", of: "string", value: merges.map((pair) => pair.join(" ")) }],
    ["tokenizer.ggml.eos_token_id", { type: "u32", value: 261 }],
  ]),
  new Map(tokenizerJsonToGguf(...bases[0])),
];
const ggufFiles = await Promise.all(
  metadata.map(async (values) => takeApart(concat(...(await Array.fromAsync(encodeGguf(values, [])))))),
);

const asGguf = damaged(fc.constantFrom(...ggufFiles)).map((bytes): Files => ({ "model.gguf": bytes }));

async function open(folder: MemoryFolder, files: Files): Promise<Tokenizer> {
  if (files["model.gguf"] === undefined) {
    const [json, config] = [await readJson(folder, "tokenizer.json"), await readJson(folder, "tokenizer_config.json")];
    return Tokenizer.fromJson(json, config);
  }
  const checkpoint = await openGguf(folder, "model.gguf");
  await checkpoint.close();
  return Tokenizer.fromGguf(checkpoint.values, "model.gguf");
}

export const tokenizer = {
  name: "tokenizer",
  cases: fc.oneof({ weight: 2, arbitrary: asJson }, asGguf),
  run(files: Files) {
    return outcomeOf(files, async (folder) => {
      const tokenizer = await open(folder, files);
      for (const parseSpecialTokens of [false, true]) {
        const ids = tokenizer.encode(TEXT, { parseSpecialTokens });
        tokenizer.decode(ids, { skipSpecialTokens: false });
      }
    });
  },
};
