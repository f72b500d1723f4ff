import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { openGguf } from "../checkpoint/gguf.ts";
import { openSafetensors, openSafetensorsFile } from "../checkpoint/safetensors.ts";
import { isObject } from "../config/reader.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import type { Folder, Source } from "../host.ts";
import { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type ReadConfig, readConfig, readGgufConfig } from "./config.ts";

/** Where a model's files are. */
export interface ModelFiles {
  readonly folder: Folder;
  /** One weights file of the folder, where it was named; else what the folder's names tell. */
  readonly weightsFile?: string;
}

/** What a model's files say, in whichever format they are. */
interface OpenFiles extends ReadConfig, Texts {
  readonly checkpoint: Checkpoint;
}

interface Texts {
  readonly tokenizer: Tokenizer | undefined;
  /** Tokens that end a text. */
  readonly eosTokens: readonly number[];
}

/**
 * Reads the config, the tokenizer and the weights' headers. A `.gguf` file is its own config; of the files beside it
 * only those about text are read.
 */
export function openFiles({ folder, weightsFile }: ModelFiles, ignore: readonly string[]): Promise<OpenFiles> {
  if (weightsFile?.toLowerCase().endsWith(".gguf")) return openGgufFiles(folder, weightsFile, ignore);
  return openHuggingFace(folder, weightsFile, ignore);
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
  return { ...read, ...texts, checkpoint };
}

async function openGgufFiles(folder: Folder, file: string, ignore: readonly string[]): Promise<OpenFiles> {
  const checkpoint = await openGguf(await openNamed(folder, file));
  try {
    const read = await readGgufConfig(checkpoint, ignore);
    const eos = checkpoint.values.get("tokenizer.ggml.eos_token_id")?.value;
    return { ...read, ...(await readTexts(folder, { eos_token_id: eos })), checkpoint };
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

async function readTexts(folder: Folder, config: unknown): Promise<Texts> {
  const tokenizer = await readTokenizer(folder);
  return { tokenizer, eosTokens: await readEosTokens(folder, config, tokenizer) };
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
const MAX_JSON_BYTES = 2 ** 28;

async function readJson(folder: Folder, fileName: string): Promise<unknown> {
  const source = await folder.open(fileName);
  if (source === undefined) return undefined;
  const path = `${folder.name}: ${fileName}`;
  try {
    if (source.sizeBytes > MAX_JSON_BYTES) {
      const got = `${source.sizeBytes} bytes`;
      throw new ConfigError("config.value", { path, expected: `must be at most ${MAX_JSON_BYTES} bytes`, got });
    }
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await source.read(0, source.sizeBytes));
    return JSON.parse(text);
  } catch (cause) {
    if (cause instanceof ConfigError || cause instanceof CheckpointError) throw cause;
    const remedy = "The file is damaged: download it again.";
    throw new ConfigError("config.value", { path, expected: "must be JSON in UTF-8", got: `${cause}`, remedy, cause });
  } finally {
    await source.close();
  }
}
