/**
 * A model in the other format, or in another type: which files the target has, and their bytes as they are asked for.
 * Every weight has a canonical name; where its rows lie is the family's own table, in the source and in the target.
 */
import type { GgufCheckpoint } from "../checkpoint/gguf.ts";
import { type ModelFiles, openFiles } from "../run/files.ts";
import { bindFiles } from "../run/open.ts";
import { checkChoice } from "../run/options.ts";
import { namedWeights } from "../weights/schema.ts";
import type { Conversion, ConversionOptions } from "./conversion.ts";
import { planFolder } from "./to-folder.ts";
import { planGguf } from "./to-gguf.ts";
import { CONVERT_TYPES } from "./types.ts";

/**
 * Opens a model's files and plans the conversion; no weight is read before the `pieces` of a file are.
 * @throws ConfigError where the target cannot say what the model computes, and whatever `openModel` throws.
 */
export async function openConversion(
  { folder, weightsFile }: ModelFiles,
  options: ConversionOptions,
): Promise<Conversion> {
  const { format, type, ignore = [] } = options;
  if (type !== undefined) checkChoice("convert: type", type, CONVERT_TYPES);
  const open = await openFiles({ folder, weightsFile }, ignore);
  const { architecture, config, checkpoint } = open;
  try {
    const source = {
      ...open,
      folder,
      bindings: bindFiles(open, ignore).bindings,
      specs: namedWeights(architecture.weights(config, () => true)),
      values: checkpoint.format === "gguf" ? (checkpoint as GgufCheckpoint).values : undefined,
    };
    const plan = await (format === "gguf" ? planGguf(source, options) : planFolder(source, options));
    const files = Array.from(checkpoint.tensors.values(), (tensor) => checkpoint.filePath(tensor));
    const sourceFiles = [...new Set(files.filter((path) => path !== undefined))];
    return { ...plan, sourceFiles, close: () => checkpoint.close() };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}
