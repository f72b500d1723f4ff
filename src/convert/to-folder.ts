import { streamSafetensors } from "../checkpoint/write-safetensors.ts";
import { ConfigReader, type Json } from "../config/reader.ts";
import { RequestError } from "../errors.ts";
import type { ComputeDtype } from "../tensor/dtype.ts";
import type { ConversionOptions, ConversionSource, ConvertedFile, Plan } from "./conversion.ts";
import { configOfGguf, withDtype } from "./hugging-face-config.ts";
import { checkSameModel } from "./same-model.ts";
import { type Shard, shardIndex, shardsOf } from "./shards.ts";
import { targetTensors, tensorBytes } from "./target-tensor.ts";
import { folderTexts, jsonFile } from "./texts.ts";
import { chooseTypes, commonType, type TypedTensor } from "./types.ts";

/** As transformers had it for years. */
const SHARD_SIZE_BYTES = 5e9;

/** The files of a folder that transformers opens: config, weights, and what belongs to the text. */
export async function planFolder(source: ConversionSource, options: ConversionOptions): Promise<Plan> {
  const { shardSizeBytes = SHARD_SIZE_BYTES } = options;
  if (!(shardSizeBytes >= 1)) {
    const expected = "must be a positive number of bytes";
    throw new RequestError("request.option", { path: "convert: shardSizeBytes", expected, got: `${shardSizeBytes}` });
  }
  const parts = targetTensors(source.specs, source.bindings.weights, (_, { part }) => part);
  const { tensors, notes } = chooseTypes(parts, "safetensors", options.type);
  const type = commonType(tensors);
  const isTied = !source.bindings.weights.has("unembed");
  const json = withDtype(configOf(source), type, isTied);
  checkReadsBack(source, json, tensors);
  const shards = shardsOf(tensors, shardSizeBytes);
  const texts = await folderTexts(source);
  return {
    files: [
      jsonFile("config.json", json),
      ...(shards.length > 1 ? [jsonFile("model.safetensors.index.json", shardIndex(shards))] : []),
      ...texts.files,
      ...shards.map((shard) => shardFile(shard, source)),
    ],
    type,
    nTensors: tensors.length,
    notes: [...notes, ...texts.notes],
  };
}

function configOf({ architecture: { gguf }, json, config, ignoredKeys, values }: ConversionSource): Json {
  return values === undefined || gguf === undefined ? json : configOfGguf(gguf, json, config, ignoredKeys, values);
}

/** The written words must mean the same model. */
function checkReadsBack(
  { architecture, config, modelType }: ConversionSource,
  json: Json,
  tensors: readonly TypedTensor[],
): void {
  const names = new Set(tensors.map(({ name }) => name));
  const read = architecture.config(new ConfigReader(json), modelType);
  checkSameModel(architecture, config, read, ({ part }) => names.has(part.tensor), "config.json");
}

function shardFile({ name, tensors }: Shard, { checkpoint }: ConversionSource): ConvertedFile {
  const streamed = tensors.map((tensor) => ({
    ...tensor,
    // chooseTypes gives folders no others.
    dtype: tensor.type as ComputeDtype,
    bytes: () => tensorBytes(tensor, tensor.type, checkpoint),
  }));
  return {
    name,
    sizeBytes: tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0),
    // transformers asks for this entry.
    pieces: () => streamSafetensors(streamed, { format: "pt" }),
  };
}
