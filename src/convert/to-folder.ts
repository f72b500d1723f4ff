import type { HasWeight } from "../architectures/architecture.ts";
import { streamSafetensors } from "../checkpoint/write-safetensors.ts";
import { ConfigReader, type Json } from "../config/reader.ts";
import { ConfigError, RequestError } from "../errors.ts";
import type { ComputeDtype } from "../tensor/dtype.ts";
import type { Layout, WeightSpec } from "../weights/schema.ts";
import {
  type ConversionOptions,
  type ConversionSource,
  type ConvertedFile,
  leftOutNotes,
  type Plan,
} from "./conversion.ts";
import { configOfGguf, FLOAT_KEYS, withDtype } from "./hugging-face-config.ts";
import { keepFloats, withFloats } from "./json-floats.ts";
import { checkSameModel } from "./same-model.ts";
import { type Shard, shardIndex, shardsOf } from "./shards.ts";
import { targetTensors, tensorBytes } from "./target-tensor.ts";
import { folderTexts, jsonFile, readWhole } from "./texts.ts";
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
  const parts = targetTensors(source.specs, source.bindings.weights, folderLayout);
  const { tensors, notes } = chooseTypes(parts, "safetensors", options.type);
  const type = commonType(tensors);
  const isTied = !source.bindings.weights.has("unembed");
  const json = withDtype(configOf(source), type, isTied);
  checkReadsBack(source, json, tensors);
  const shards = shardsOf(tensors, shardSizeBytes);
  const texts = await folderTexts(source);
  return {
    files: [
      jsonFile("config.json", await withItsFloats(source, json, (config) => withDtype(config, type, isTied))),
      ...(shards.length > 1 ? [jsonFile("model.safetensors.index.json", shardIndex(shards))] : []),
      ...texts.files,
      ...shards.map((shard) => shardFile(shard, source)),
    ],
    type,
    nTensors: tensors.length,
    notes: [...notes, ...leftOutNotes(source.bindings), ...texts.notes],
  };
}

function configOf({ architecture: { gguf }, json, config, ignoredKeys, values }: ConversionSource): Json {
  return values === undefined || gguf === undefined ? json : configOfGguf(gguf, json, config, ignoredKeys, values);
}

/** What is written of `json`; `changed` makes it of the source's own config.json. */
async function withItsFloats({ folder, values }: ConversionSource, json: Json, changed: (config: Json) => Json) {
  const bytes = values === undefined ? await readWhole(folder, "config.json") : undefined;
  return bytes === undefined ? withFloats(json, FLOAT_KEYS) : changed(keepFloats(new TextDecoder().decode(bytes)));
}

/** The written words must mean the same model. */
function checkReadsBack(
  { architecture, config, modelType }: ConversionSource,
  json: Json,
  tensors: readonly TypedTensor[],
): void {
  const names = new Set(tensors.map(({ name }) => name));
  const read = architecture.config(new ConfigReader(json), modelType);
  const has: HasWeight = (spec) => folderLayout("", spec).pieces.every(({ tensor }) => names.has(tensor));
  checkSameModel(architecture, config, read, has, "config.json");
}

/** The first layout of plain numbers: the blocks of MXFP4 with scales apart are only read. */
function folderLayout(name: string, { huggingFace }: WeightSpec): Layout {
  const layout = huggingFace.find(({ pieces }) => pieces.every(({ scales }) => scales === undefined));
  if (layout !== undefined) return layout;
  const expected = "a folder must have a tensor of plain numbers for every weight of the model";
  throw new ConfigError("config.unsupported", { path: `convert: ${name}`, expected, got: "none" });
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
