import { ModelTape } from "../architectures/architecture.ts";
import type { Backend } from "../backends/contract.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { openSafetensors, openSafetensorsFile } from "../checkpoint/safetensors.ts";
import { isObject } from "../config/reader.ts";
import { BackendError, CheckpointError, ConfigError, RequestError } from "../errors.ts";
import type { Folder, Host } from "../host.ts";
import { PointCatalog } from "../points/catalog.ts";
import type { Precision } from "../tensor/dtype.ts";
import { Tokenizer } from "../tokenizer/tokenizer.ts";
import { bindWeights, findTensor, type IgnoredTensors } from "../weights/bind.ts";
import { namedWeights } from "../weights/schema.ts";
import { readConfig } from "./config.ts";
import { Executor } from "./executor.ts";
import { Model } from "./model.ts";
import { checkChoice, checkOptions } from "./options.ts";

export interface OpenOptions {
  /** Which backend computes: "reference", plain loops. */
  readonly backend?: string;
  /** How numbers are stored between ops; f64 serves as a measuring rod. f32 unless asked otherwise. */
  readonly precision?: Precision;
  /** Keys of config.json and tensors of the checkpoint to leave out, though golgi does not know what they mean. */
  readonly ignore?: readonly string[];
}

/** Where a model's files are. */
export interface ModelFiles {
  readonly folder: Folder;
  /** One weights file of the folder, where it was named; else what the folder's names tell. */
  readonly weightsFile?: string;
}

/** Opens a model's files: reads config, tokenizer and the weights' headers, but no weights yet. */
export async function openModel(
  { folder, weightsFile }: ModelFiles,
  host: Host,
  backends: readonly Backend[],
  options: OpenOptions = {},
): Promise<Model> {
  checkOptions("open", options, ["backend", "precision", "ignore"]);
  const { backend: backendName = "reference", precision = "f32", ignore = [] } = options;
  checkChoice("open: precision", precision, ["f32", "f64"]);
  const backend = findBackend(backendName, backends);
  const configJson = await readJson(folder, "config.json");
  if (configJson === undefined) {
    throw new ConfigError("config.missing", {
      path: `${folder.name}: config.json`,
      expected: "a model's folder must hold its config",
      remedy: "Download config.json of the same model beside the weights.",
    });
  }
  const { architecture, config, ignoredKeys } = readConfig(configJson, "config.json", ignore);
  const tokenizer = await readTokenizer(folder);
  const eosTokens = await readEosTokens(folder, configJson, tokenizer);
  const checkpoint = await openWeights(folder, weightsFile);
  try {
    const tree = architecture.weights(
      config,
      (name) => findTensor(checkpoint, name, architecture.prefix) !== undefined,
    );
    const ignored: IgnoredTensors[] = [...architecture.ignoredTensors, ...ignore.map(exactly)];
    const bindings = bindWeights(namedWeights(tree), checkpoint, { prefix: architecture.prefix, ignored });
    checkIgnored(ignore, [...ignoredKeys, ...bindings.ignored.map(({ tensor }) => tensor)]);
    const modelTape = new ModelTape(architecture, config, tree);
    const engine = backend.load({ bindings: bindings.weights, checkpoint, precision, host });
    const { tape } = modelTape;
    return new Model({
      name: weightsFile === undefined ? folder.name : `${folder.name}/${weightsFile}`,
      config,
      architecture: architecture.name,
      modelTape,
      bindings,
      checkpoint,
      catalog: new PointCatalog(tape, config.nLayers, architecture.absentPoints, backend),
      executor: new Executor({
        tape,
        unembed: (resid) => modelTape.unembed(resid),
        taps: (op) => backend.taps(op),
        engine,
        precision,
        ...config,
      }),
      tokenizer,
      eosTokens,
      backend: backend.name,
      ignoredKeys,
      close: async () => {
        await engine.close();
        await checkpoint.close();
      },
    });
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

function findBackend(name: string, backends: readonly Backend[]): Backend {
  const backend = backends.find((b) => b.name === name);
  if (backend !== undefined) return backend;
  throw new BackendError("backend.unsupported", {
    path: `backend ${name}`,
    expected: "the backend must be available here",
    got: `only ${backends.map((b) => b.name).join(", ")}`,
  });
}

/** A name that leaves nothing out is a mistake. */
function checkIgnored(ignore: readonly string[], found: readonly string[]): void {
  const idle = ignore.find((name) => !found.includes(name));
  if (idle === undefined) return;
  throw new RequestError("request.option", {
    path: `open: ignore "${idle}"`,
    expected: "each name must be a key of config.json or a tensor that the model does not use",
    got: "neither",
    remedy: "Drop it.",
  });
}

function exactly(name: string): IgnoredTensors {
  const pattern = new RegExp(`^${name.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`);
  return { pattern, reason: "left out on request" };
}

async function openWeights(folder: Folder, weightsFile: string | undefined): Promise<Checkpoint> {
  if (weightsFile === undefined) return openSafetensors(folder);
  const source = await folder.open(weightsFile);
  if (source !== undefined) return openSafetensorsFile(source);
  throw new CheckpointError("checkpoint.missing", {
    path: `${folder.name}/${weightsFile}`,
    expected: "the file must exist",
  });
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
