/** What belongs to a model's text: its tokenizer, chat templates and generation settings. */

import type { GgufMetadata, GgufValue } from "../checkpoint/gguf-values.ts";
import { CheckpointError } from "../errors.ts";
import type { Folder } from "../host.ts";
import { readJson } from "../run/files.ts";
import { ggufEndTokens, ggufToTokenizerJson, hasGgufTokenizer } from "../tokenizer/from-gguf.ts";
import { tokenizerJsonToGguf } from "../tokenizer/to-gguf.ts";
import type { ConversionSource, ConvertedFile } from "./conversion.ts";
import { integer, text } from "./gguf-config.ts";

type TextSource = Pick<ConversionSource, "folder" | "checkpoint" | "values" | "config" | "texts">;

/** The files about text that transformers reads. */
const TEXT_FILES = [
  ...["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"],
  ...["vocab.json", "merges.txt", "tokenizer.model", "generation_config.json"],
  ...["chat_template.jinja", "chat_template.json"],
];

const OWN = "tokenizer.";
const KEY = "tokenizer.ggml.";
const TEMPLATE_KEY = "tokenizer.chat_template";
const NO_TOKENIZER = "the model has no tokenizer, so what is written takes token ids alone";

/** A GGUF file's metadata about text. */
export async function ggufTexts(source: TextSource): Promise<{ values: GgufMetadata; notes: readonly string[] }> {
  const { folder, values, config } = source;
  if (values !== undefined && hasGgufTokenizer(values)) {
    return { values: new Map([...values].filter(([key]) => key.startsWith(OWN))), notes: [] };
  }
  const json = await readJson(folder, "tokenizer.json");
  if (json === undefined) return { values: new Map([[`${KEY}model`, text("none")]]), notes: [NO_TOKENIZER] };
  const fileName = `${folder.name}: tokenizer.json`;
  const tokenizerConfig = await readJson(folder, "tokenizer_config.json");
  const notes: string[] = [];
  const options = { fileName, vocabSize: config.vocabSize, onNote: (note: string) => notes.push(note) };
  const tokenizer = new Map(tokenizerJsonToGguf(json, tokenizerConfig, options));
  checkSize(tokenizer, config.vocabSize, fileName);
  const ends = endTokens(source.texts.eosTokens, tokenizer);
  const templateEntries = templateValues(source.texts.chatTemplates.templates);
  return {
    values: new Map<string, GgufValue>([...tokenizer, ...ends.values, ...templateEntries]),
    notes: [...notes, ...ends.notes],
  };
}

/** llama.cpp wants a token for every row of the embedding, and no more. */
function checkSize(tokenizer: GgufMetadata, vocabSize: number, path: string): void {
  const tokens = tokenizer.get(`${KEY}tokens`);
  if (tokens?.type !== "array" || tokens.value.length === vocabSize) return;
  throw new CheckpointError("checkpoint.tokenizer", {
    path,
    expected: `the vocabulary must have at most the ${vocabSize} tokens that the embedding has rows for`,
    got: `${tokens.value.length}`,
  });
}

/** A folder's files about text. */
export async function folderTexts(
  source: TextSource,
): Promise<{ files: readonly ConvertedFile[]; notes: readonly string[] }> {
  const { folder, values } = source;
  if (values !== undefined && hasGgufTokenizer(values)) return { files: filesOfGguf(source, values), notes: [] };
  const files: ConvertedFile[] = [];
  for (const name of TEXT_FILES) {
    const bytes = await readWhole(folder, name);
    if (bytes !== undefined) files.push(bytesFile(name, bytes));
  }
  const hasTokenizer = files.some(({ name }) => name === "tokenizer.json");
  return { files, notes: hasTokenizer ? [] : [NO_TOKENIZER] };
}

function filesOfGguf({ checkpoint, texts }: TextSource, values: GgufMetadata): ConvertedFile[] {
  const { tokenizerJson, tokenizerConfig } = ggufToTokenizerJson(values, checkpoint.name);
  const { eosTokens, chatTemplates } = texts;
  const { templates } = chatTemplates;
  const only = templates.size === 1 ? templates.get("default") : undefined;
  const named = Array.from(templates, ([name, template]) => ({ name, template }));
  const bos = values.get(`${KEY}bos_token_id`)?.value;
  const generation = {
    ...(bos !== undefined && { bos_token_id: bos }),
    ...(eosTokens.length > 0 && { eos_token_id: eosTokens.length === 1 ? eosTokens[0] : eosTokens }),
  };
  return [
    jsonFile("tokenizer.json", tokenizerJson),
    jsonFile("tokenizer_config.json", {
      ...tokenizerConfig,
      ...(named.length > 0 && only === undefined && { chat_template: named }),
    }),
    jsonFile("generation_config.json", generation),
    ...(only === undefined ? [] : [bytesFile("chat_template.jinja", new TextEncoder().encode(only))]),
  ];
}

/** Keys for tokens that end a text beside the tokenizer's own EOS. */
const END_KEYS = ["eos_token_id", "eot_token_id", "eom_token_id"].map((key) => `${KEY}${key}`);

/** The tokens that end a text by the model's own files, where the tokenizer does not tell them, under free keys. */
function endTokens(eosTokens: readonly number[], tokenizer: GgufMetadata) {
  const known = ggufEndTokens(tokenizer);
  const missing = eosTokens.filter((id) => !known.includes(id));
  const free = END_KEYS.filter((key) => !tokenizer.has(key));
  const values = free.slice(0, missing.length).map((key, i): [string, GgufValue] => [key, integer(missing[i])]);
  const lost = missing.slice(free.length);
  const note = `GGUF has no place for more tokens that end a text: ${lost.join(", ")} will not`;
  return { values, notes: lost.length === 0 ? [] : [note] };
}

function* templateValues(templates: ReadonlyMap<string, string>): Generator<[string, GgufValue]> {
  const names = [...templates.keys()].filter((name) => name !== "default");
  for (const [name, template] of templates) {
    yield [name === "default" ? TEMPLATE_KEY : `${TEMPLATE_KEY}.${name}`, text(template)];
  }
  if (names.length > 0) yield ["tokenizer.chat_templates", { type: "array", of: "string", value: names }];
}

export async function readWhole(folder: Folder, name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const source = await folder.open(name);
  return source?.read(0, source.sizeBytes).finally(() => source.close());
}

export function jsonFile(name: string, json: unknown): ConvertedFile {
  return bytesFile(name, new TextEncoder().encode(`${JSON.stringify(json, undefined, 2)}\n`));
}

function bytesFile(name: string, bytes: Uint8Array<ArrayBuffer>): ConvertedFile {
  return {
    name,
    sizeBytes: bytes.length,
    async *pieces() {
      yield bytes;
    },
  };
}
