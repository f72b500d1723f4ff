import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { findGguf, openGguf } from "../checkpoint/gguf.ts";
import type { GgufMetadata } from "../checkpoint/gguf-values.ts";
import { openSafetensors, openSafetensorsFile } from "../checkpoint/safetensors.ts";
import { isObject } from "../config/reader.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import type { Folder, Source } from "../host.ts";
import {
  type ChatTemplateSources,
  readGgufTemplates,
  readTemplates,
  readTokenVariables,
} from "../tokenizer/chat-template.ts";
import { ggufEndTokens, hasGgufTokenizer } from "../tokenizer/from-gguf.ts";
import { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type ReadConfig, readConfig, readGgufConfig } from "./config.ts";
import { once } from "./once.ts";
import { parseJson } from "./parse-json.ts";

/** Where a model's files are. */
export interface ModelFiles {
  readonly folder: Folder;
  /** One weights file of the folder, where it was named; else what the folder's names tell. */
  readonly weightsFile?: string;
}

/** What a model's files say, in whichever format they are. */
export interface OpenFiles extends ReadConfig {
  readonly checkpoint: Checkpoint;
  readonly texts: Texts;
}

/** What belongs to a model's text. Of a GGUF file it is worked out when it is first asked for. */
export interface Texts {
  /** An error where a GGUF file's own tokenizer cannot be used; the model then takes token ids only. */
  readonly tokenizer: Tokenizer | CheckpointError | undefined;
  /** Tokens that end a text. */
  readonly eosTokens: readonly number[];
  readonly chatTemplates: ChatTemplateSources;
}

/**
 * Reads the config, the tokenizer and the weights' headers. A `.gguf` file is its own config; of the files beside it
 * only those about text are read.
 */
export async function openFiles({ folder, weightsFile }: ModelFiles, ignore: readonly string[]): Promise<OpenFiles> {
  const file = weightsFile ?? (await findGguf(folder));
  if (file?.toLowerCase().endsWith(".gguf")) return openGgufFiles(folder, file, ignore);
  return openHuggingFace(folder, file, ignore);
}

async function openHuggingFace(
  folder: Folder,
  weightsFile: string | undefined,
  ignore: readonly string[],
): Promise<OpenFiles> {
  const configJson = await readJson(folder, "config.json");
  if (configJson === undefined) {
    throw new ConfigError("config.missing", {
      path: `${folder.name}: config.json`,
      expected: "a model's folder must hold its config",
      remedy: "Download config.json of the same model beside the weights.",
    });
  }
  const read = readConfig(configJson, "config.json", ignore);
  const texts = await readTexts(folder, configJson);
  const checkpoint =
    weightsFile === undefined
      ? await openSafetensors(folder)
      : await openSafetensorsFile(await openNamed(folder, weightsFile));
  return { ...read, texts, checkpoint };
}

async function openGgufFiles(folder: Folder, file: string, ignore: readonly string[]): Promise<OpenFiles> {
  const checkpoint = await openGguf(folder, file);
  try {
    const read = await readGgufConfig(checkpoint, ignore);
    return { ...read, texts: await readGgufTexts(folder, file, checkpoint.values), checkpoint };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

async function openNamed(folder: Folder, file: string): Promise<Source> {
  const source = await folder.open(file);
  if (source !== undefined) return source;
  throw new CheckpointError("checkpoint.missing", {
    path: `${folder.name}/${file}`,
    expected: "the file must exist",
  });
}

async function readTexts(folder: Folder, config: unknown, values?: GgufMetadata): Promise<Texts> {
  const tokenizer = await readTokenizer(folder);
  const eosTokens = await readEosTokens(folder, config, tokenizer);
  return { tokenizer, eosTokens, chatTemplates: await readChatTemplates(folder, values, () => tokenizer) };
}

/** A GGUF file's own tokenizer goes first, since a folder may hold files of many models; without one the folder's counts. */
async function readGgufTexts(folder: Folder, file: string, values: GgufMetadata): Promise<Texts> {
  if (!hasGgufTokenizer(values)) {
    return readTexts(folder, { eos_token_id: values.get("tokenizer.ggml.eos_token_id")?.value }, values);
  }
  // A vocabulary takes longer than all else, and whoever has token ids does not need it.
  const tokenizer = once(() => readGgufTokenizer(values, `${folder.name}/${file}`));
  const usable = (): Tokenizer | undefined => {
    const read = tokenizer();
    return read instanceof Tokenizer ? read : undefined;
  };
  const eosTokens = once(() => ggufEndTokens(values));
  return {
    get tokenizer() {
      return tokenizer();
    },
    get eosTokens() {
      return eosTokens();
    },
    chatTemplates: await readChatTemplates(folder, values, usable),
  };
}

function readGgufTokenizer(values: GgufMetadata, fileName: string): Tokenizer | CheckpointError {
  try {
    return Tokenizer.fromGguf(values, fileName);
  } catch (error) {
    if (error instanceof CheckpointError) return error;
    throw error;
  }
}

/** As with the tokenizer, a GGUF file's own templates go before those of files beside it. */
async function readChatTemplates(
  folder: Folder,
  values: GgufMetadata | undefined,
  tokenizer: () => Tokenizer | undefined,
): Promise<ChatTemplateSources> {
  const tokens = () => ({ bos_token: tokenizer()?.bosToken, eos_token: tokenizer()?.eosToken });
  const own = readGgufTemplates(values ?? new Map());
  if (own.size > 0) return { name: folder.name, templates: own, tokens };
  const config = await readJson(folder, "tokenizer_config.json");
  const [jinja, json] = [await readText(folder, "chat_template.jinja"), await readJson(folder, "chat_template.json")];
  const templates = readTemplates({ jinja, config, json });
  return { name: folder.name, templates, tokens: () => ({ ...tokens(), ...readTokenVariables(config) }) };
}

async function readTokenizer(folder: Folder): Promise<Tokenizer | undefined> {
  const json = await readJson(folder, "tokenizer.json");
  if (json === undefined) return undefined;
  return Tokenizer.fromJson(json, await readJson(folder, "tokenizer_config.json"), `${folder.name}: tokenizer.json`);
}

/** End-of-sequence tokens: those of generation_config.json, else of config.json, else of the tokenizer. */
async function readEosTokens(folder: Folder, config: unknown, tokenizer: Tokenizer | undefined): Promise<number[]> {
  for (const json of [await readJson(folder, "generation_config.json"), config]) {
    const eos = isObject(json) ? json.eos_token_id : undefined;
    const tokens = Array.isArray(eos) ? eos : [eos];
    if (tokens.every(Number.isInteger)) return tokens;
  }
  return tokenizer?.eosTokenId === undefined ? [] : [tokenizer.eosTokenId];
}

/** Most bytes of a JSON file; the largest tokenizers have 35 MB. */
const MAX_JSON_BYTES = 2 ** 26;

export function readJson(folder: Folder, fileName: string): Promise<unknown> {
  return readFile(folder, fileName, "JSON", parseJson);
}

function readText(folder: Folder, fileName: string): Promise<string | undefined> {
  return readFile(folder, fileName, "text", (text) => text);
}

async function readFile<T>(
  folder: Folder,
  fileName: string,
  kind: string,
  parse: (text: string) => T,
): Promise<T | undefined> {
  const source = await folder.open(fileName);
  if (source === undefined) return undefined;
  const path = `${folder.name}: ${fileName}`;
  try {
    if (source.sizeBytes > MAX_JSON_BYTES) {
      const got = `${source.sizeBytes} bytes`;
      throw new ConfigError("config.value", { path, expected: `must be at most ${MAX_JSON_BYTES} bytes`, got });
    }
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await source.read(0, source.sizeBytes));
    return parse(text);
  } catch (cause) {
    if (cause instanceof ConfigError || cause instanceof CheckpointError) throw cause;
    const remedy = "The file is damaged: download it again.";
    throw new ConfigError("config.value", {
      path,
      expected: `must be ${kind} in UTF-8`,
      got: `${cause}`,
      remedy,
      cause,
    });
  } finally {
    await source.close();
  }
}
