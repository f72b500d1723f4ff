import type { HasWeight } from "../architectures/architecture.ts";
import type { GgufMetadata, GgufValue } from "../checkpoint/gguf-values.ts";
import { encodeGguf, type GgufTensor } from "../checkpoint/write-gguf.ts";
import { type GgufConfig, ggufConfigReader, LONGROPE_FACTORS, ROPE_FACTORS } from "../config/gguf.ts";
import { ConfigError, RequestError } from "../errors.ts";
import type { PlainFormat } from "../tensor/format.ts";
import type { Layout, WeightSpec } from "../weights/schema.ts";
import { type ConversionOptions, type ConversionSource, leftOutNotes, type Plan } from "./conversion.ts";
import { ggufConfigValues, integer, ropeFactors, text } from "./gguf-config.ts";
import { checkSameModel } from "./same-model.ts";
import { type TargetTensor, targetTensors, tensorBytes } from "./target-tensor.ts";
import { ggufTexts } from "./texts.ts";
import { chooseTypes, commonType, ggufFileType } from "./types.ts";

/** One GGUF file, with the names, the order of rows and the metadata of llama.cpp's converter. */
export async function planGguf(source: ConversionSource, options: ConversionOptions): Promise<Plan> {
  const { architecture, config, specs, bindings, checkpoint } = source;
  if (options.shardSizeBytes !== undefined) {
    const expected = "only a folder's weights are divided into files";
    const path = "convert: shardSizeBytes";
    throw new RequestError("request.option", { path, expected, got: "a target in GGUF", remedy: "Drop it." });
  }
  const { gguf: family } = architecture;
  if (family === undefined) {
    const expected = "GGUF must have an architecture for this family";
    throw new ConfigError("config.unsupported", { path: `convert: ${architecture.name}`, expected, got: "none" });
  }
  const factors = ropeFactors(config, family);
  const values = ggufConfigValues(family, config);
  const targets = targetTensors(specs, bindings.weights, ggufLayout).map(asInGguf);
  const { tensors, notes } = chooseTypes(targets, "gguf", options.type);
  checkReadsBack(source, family, values, tensors, factors);
  const type = commonType(tensors);
  const texts = await ggufTexts(source);
  const metadata = new Map<string, GgufValue>([
    ["general.architecture", text(family.architecture)],
    ["general.type", text("model")],
    ["general.name", text(options.name)],
    ...(source.values === undefined ? values : kept(source.values, source.ignoredKeys)),
    ...texts.values,
    ...typeValues(type, options.type === undefined ? source.values : undefined),
  ]);
  const written = tensors.map(
    (tensor): GgufTensor => ({ ...tensor, rows: () => tensorBytes(tensor, tensor.type, checkpoint) }),
  );
  for (const [name, numbers] of factors) {
    written.push({ name, shape: [numbers.length], type: "f32", rows: () => [numbers] });
  }
  const sizeBytes = tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  return {
    files: [{ name: "model.gguf", sizeBytes, pieces: () => encodeGguf(metadata, written) }],
    type,
    nTensors: written.length,
    notes: [...notes, ...leftOutNotes(source.bindings), ...texts.notes],
  };
}

function ggufLayout(name: string, { gguf: [layout] }: WeightSpec): Layout {
  if (layout !== undefined) return layout;
  throw new ConfigError("config.unsupported", {
    path: `convert: ${name}`,
    expected: "GGUF must have a name for every weight of the model",
    got: "none",
    remedy: "Convert to a folder instead.",
  });
}

/** A matrix of one row, the gate of a shared expert, is a vector in GGUF. */
function asInGguf(tensor: TargetTensor): TargetTensor {
  const { shape } = tensor;
  return shape.length === 2 && shape[0] === 1 ? { ...tensor, shape: shape.slice(1) } : tensor;
}

/** The written words must mean the same model. */
function checkReadsBack(
  { architecture, config }: ConversionSource,
  family: GgufConfig,
  values: GgufMetadata,
  targets: readonly TargetTensor[],
  factors: ReadonlyMap<string, Float32Array>,
): void {
  const tensors = new Map(targets.map((tensor) => [tensor.name, tensor]));
  const numbers = (name: string): number[] | undefined => {
    const found = factors.get(name);
    return found && [...found];
  };
  const [short, long] = [numbers(LONGROPE_FACTORS.short), numbers(LONGROPE_FACTORS.long)];
  const longropeFactors = short && long && { short, long };
  const contents = { values, tensors, ropeFactors: numbers(ROPE_FACTORS), longropeFactors };
  const read = architecture.config(ggufConfigReader(family, contents, "the GGUF file"), family.modelType);
  const has: HasWeight = ({ gguf }) => gguf[0]?.pieces.every(({ tensor }) => tensors.has(tensor)) === true;
  checkSameModel(architecture, config, read, has, "GGUF");
}

/** Of a GGUF file's metadata what holds for the next one as well. */
function kept(values: GgufMetadata, ignoredKeys: readonly string[]): [string, GgufValue][] {
  const renewed = /^(split\.|tokenizer\.|general\.(alignment|file_type|quantization_version)$)/;
  return [...values].filter(([key]) => !renewed.test(key) && !ignoredKeys.includes(key));
}

/** `before`: the metadata of a file whose types stay as they are. */
function* typeValues(type: PlainFormat, before: GgufMetadata | undefined): Generator<[string, GgufValue]> {
  const number = ggufFileType(type);
  const fileType = before?.get("general.file_type") ?? (number === undefined ? undefined : integer(number));
  if (fileType !== undefined) yield ["general.file_type", fileType];
  // GGML_QNT_VERSION of ggml.h
  yield ["general.quantization_version", integer(2)];
}
