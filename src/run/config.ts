import type { Architecture } from "../architectures/architecture.ts";
import { ARCHITECTURES } from "../architectures/index.ts";
import { quote, tensorPath } from "../checkpoint/checkpoint.ts";
import type { GgufCheckpoint } from "../checkpoint/gguf.ts";
import {
  type GgufConfig,
  ggufConfigReader,
  LONGROPE_FACTORS,
  type LongropeFactors,
  ROPE_FACTORS,
} from "../config/gguf.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { ConfigReader, isObject, type Json } from "../config/reader.ts";
import { NEEDED } from "../config/unsupported.ts";
import { CheckpointError, ConfigError, nearest } from "../errors.ts";
import { formatShape, numel } from "../tensor/shape.ts";

export interface ReadConfig {
  readonly architecture: Architecture;
  readonly config: ModelConfig;
  readonly modelType: string;
  /** In the keys of config.json, whichever file it was read from. */
  readonly json: Json;
  /** Keys that were ignored on request. */
  readonly ignoredKeys: readonly string[];
  /** Tensors that are part of the config. */
  readonly usedTensors: readonly string[];
}

/** Chooses the family by `model_type` and reads its config; every key must be understood or be in `ignore`. */
export function readConfig(json: unknown, fileName: string, ignore: readonly string[] = []): ReadConfig {
  if (!isObject(json)) {
    throw new ConfigError("config.value", { path: fileName, expected: "must be a JSON object" });
  }
  const { architecture, modelType } = findArchitecture(json, fileName);
  return read(architecture, modelType, new ConfigReader(json, fileName), ignore);
}

/** As `readConfig`, from a GGUF file; of its metadata the keys of its architecture must be understood. */
export async function readGgufConfig(checkpoint: GgufCheckpoint, ignore: readonly string[] = []): Promise<ReadConfig> {
  const { architecture, gguf } = findGgufArchitecture(checkpoint);
  const { name, values, tensors } = checkpoint;
  const ropeFactors = await readRopeFactors(checkpoint, ROPE_FACTORS);
  const longropeFactors = gguf.hasLongropeFactors ? await readLongropeFactors(checkpoint) : undefined;
  const reader = ggufConfigReader(gguf, { values, tensors, ropeFactors, longropeFactors }, name);
  const longropeTensors = longropeFactors ? Object.values(LONGROPE_FACTORS) : [];
  const usedTensors = [...(ropeFactors ? [ROPE_FACTORS] : []), ...longropeTensors];
  return read(architecture, gguf.modelType, reader, ignore, usedTensors);
}

function read(
  architecture: Architecture,
  modelType: string,
  reader: ConfigReader,
  ignore: readonly string[],
  usedTensors: readonly string[] = [],
): ReadConfig {
  const config = architecture.config(reader, modelType);
  checkSizes(config, reader.fileName);
  return { architecture, config, modelType, json: reader.json, ignoredKeys: reader.finish(ignore), usedTensors };
}

function findArchitecture(json: Json, fileName: string): { architecture: Architecture; modelType: string } {
  const path = `${fileName}: model_type`;
  const known = ARCHITECTURES.flatMap(({ modelTypes }) => modelTypes);
  const modelType = json.model_type;
  if (typeof modelType !== "string") {
    const remedy = `It names the architecture: ${known.join(", ")}.`;
    throw new ConfigError("config.missing", { path, expected: "must be a string", got: `${modelType}`, remedy });
  }
  const architecture = ARCHITECTURES.find(({ modelTypes }) => modelTypes.includes(modelType));
  if (architecture === undefined) {
    throw new ConfigError("config.unsupported", {
      path,
      expected: `the supported architectures are ${known.join(", ")}`,
      got: JSON.stringify(modelType),
      remedy: whatIsMissing(modelType, known),
    });
  }
  return { architecture, modelType };
}

function whatIsMissing(modelType: string, known: readonly string[]): string | undefined {
  if (Object.hasOwn(NEEDED, modelType)) return `It needs ${NEEDED[modelType]}.`;
  const close = nearest(modelType, known);
  return close === undefined ? undefined : `${close} is not the same architecture, though the name is close.`;
}

function findGgufArchitecture(checkpoint: GgufCheckpoint): { architecture: Architecture; gguf: GgufConfig } {
  const { name, values } = checkpoint;
  const kind = values.get("general.type")?.value ?? "model";
  const named = values.get("general.architecture")?.value;
  const known = ARCHITECTURES.flatMap((architecture) => {
    const { gguf } = architecture;
    return gguf === undefined ? [] : [{ architecture, gguf }];
  });
  const found = known.find(({ gguf }) => gguf.architecture === named && gguf.holds?.(checkpoint) !== false);
  if (found !== undefined && kind === "model") return found;
  const [key, got] = kind === "model" ? ["general.architecture", named] : ["general.type", kind];
  const names = [...new Set(known.map(({ gguf }) => gguf.architecture))].join(", ");
  throw new ConfigError("config.unsupported", {
    path: `${name}: ${key}`,
    expected: kind === "model" ? `the supported architectures are ${names}` : 'the file must hold a "model"',
    got: quote(got),
  });
}

/** The factors hold half a head; more than this is no such tensor. */
const MAX_ROPE_FACTORS = 2 ** 16;

async function readRopeFactors(checkpoint: GgufCheckpoint, name: string): Promise<number[] | undefined> {
  const tensor = checkpoint.tensors.get(name);
  if (tensor === undefined) return undefined;
  const { dtype, shape } = tensor;
  if (dtype !== "f32" || numel(shape) > MAX_ROPE_FACTORS) {
    throw new CheckpointError("checkpoint.dtype", {
      path: tensorPath(checkpoint.name, name),
      expected: `factors of rotary frequencies must be f32, and at most ${MAX_ROPE_FACTORS}`,
      got: `${dtype} ${formatShape(shape)}`,
    });
  }
  return [...new Float32Array((await checkpoint.read(tensor)).buffer)];
}

async function readLongropeFactors(checkpoint: GgufCheckpoint): Promise<LongropeFactors | undefined> {
  const short = await readRopeFactors(checkpoint, LONGROPE_FACTORS.short);
  const long = await readRopeFactors(checkpoint, LONGROPE_FACTORS.long);
  return short && long && { short, long };
}

/** More experts, of all layers together, than any model has: each takes memory before any of them has been found. */
const MAX_EXPERTS = 2 ** 17;
/** The same of heads, whose rows of one tensor may lie apart. */
const MAX_HEADS = 2 ** 17;

/** What every family's sizes must satisfy, whatever the file says. */
function checkSizes({ nHeads, nKvHeads, headDim, nLayers, sparse }: ModelConfig, fileName: string): void {
  const { nExperts, nExpertsPerToken } = sparse ?? { nExperts: 1, nExpertsPerToken: 1 };
  if (nExpertsPerToken > nExperts || nExperts * nLayers > MAX_EXPERTS) {
    throw new ConfigError("config.value", {
      path: fileName,
      expected: `a token must go to no more experts than a layer has, and all layers have at most ${MAX_EXPERTS}`,
      got: `${nExpertsPerToken} of ${nExperts} in ${nLayers} layers`,
      remedy: "The file is damaged, or is no model's.",
    });
  }
  if (nHeads * nLayers > MAX_HEADS) {
    throw new ConfigError("config.value", {
      path: fileName,
      expected: `all layers together must have at most ${MAX_HEADS} heads`,
      got: `${nHeads} in ${nLayers} layers`,
      remedy: "The file is damaged, or is no model's.",
    });
  }
  if (nHeads % nKvHeads !== 0) {
    throw new ConfigError("config.value", {
      path: fileName,
      expected: "the query heads must be a multiple of the key-value heads",
      got: `${nHeads} and ${nKvHeads}`,
    });
  }
  if (!Number.isInteger(headDim)) {
    throw new ConfigError("config.value", {
      path: fileName,
      expected: "the width must be a multiple of the number of heads",
      got: `${headDim * nHeads} and ${nHeads}`,
    });
  }
}
