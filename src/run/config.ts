import type { Architecture } from "../architectures/architecture.ts";
import { ARCHITECTURES } from "../architectures/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { ConfigReader, isObject, type Json } from "../config/reader.ts";
import { ConfigError, nearest } from "../errors.ts";

export interface ReadConfig {
  readonly architecture: Architecture;
  readonly config: ModelConfig;
  /** Keys that were ignored on request. */
  readonly ignoredKeys: readonly string[];
}

/** Chooses the family by `model_type` and reads its config; every key must be understood or be in `ignore`. */
export function readConfig(json: unknown, fileName: string, ignore: readonly string[] = []): ReadConfig {
  if (!isObject(json)) {
    throw new ConfigError("config.value", { path: fileName, expected: "must be a JSON object" });
  }
  const { architecture, modelType } = findArchitecture(json, fileName);
  const reader = new ConfigReader(json, fileName);
  const config = architecture.config(reader, modelType);
  checkSizes(config, fileName);
  return { architecture, config, ignoredKeys: reader.finish(ignore) };
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
    const close = nearest(modelType, known);
    throw new ConfigError("config.unsupported", {
      path,
      expected: `the supported architectures are ${known.join(", ")}`,
      got: JSON.stringify(modelType),
      remedy: close === undefined ? undefined : `${close} is not the same architecture, though the name is close.`,
    });
  }
  return { architecture, modelType };
}

/** What every family's sizes must satisfy, whatever the file says. */
function checkSizes({ nHeads, nKvHeads, headDim }: ModelConfig, fileName: string): void {
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
