import { CheckpointError } from "../errors.ts";
import type { Folder, Source } from "../host.ts";
import { type Checkpoint, checkpointOf, closeAll, quote } from "./checkpoint.ts";
import { type GgufFile, readGgufHeader } from "./gguf-header.ts";
import { modelsOf, namesOfParts, Parts, type Split, splitOf } from "./gguf-split.ts";
import type { GgufMetadata } from "./gguf-values.ts";

/** The tensors of a GGUF model, and the metadata that stand for a config and a tokenizer. */
export interface GgufCheckpoint extends Checkpoint {
  readonly values: GgufMetadata;
}

/**
 * Opens a GGUF file of a folder, and with it the other parts of its model where that is split: any part opens all. Tensors
 * keep GGUF's own names and types.
 */
export async function openGguf(folder: Folder, fileName: string): Promise<GgufCheckpoint> {
  const opened: Source[] = [];
  const read = async (name: string) => {
    const source = await folder.open(name);
    if (source === undefined) throw missing(folder, [name]);
    opened.push(source);
    return readGgufHeader(name, source);
  };
  try {
    const file = await read(fileName);
    const split = splitOf(file);
    const files = split === undefined ? [file] : await readParts(folder, file, split, read);
    const [{ source, values }] = files;
    return { ...checkpointOf(source.name, "gguf", files), values };
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
}

/** All parts of the model that `file` is a part of, the first one first. */
async function readParts(
  folder: Folder,
  file: GgufFile,
  split: Split,
  read: (name: string) => Promise<GgufFile>,
): Promise<GgufFile[]> {
  const names = namesOfParts(file, split);
  await checkPresent(folder, names);
  const parts = new Parts(split);
  for (const name of names) parts.add(name === file.file ? file : await read(name));
  return parts.whole();
}

const SAFETENSORS = /\.safetensors(\.index\.json)?$/;

/** A file of the folder's GGUF model; undefined where there is none, or the folder holds safetensors, which go first. */
export async function findGguf(folder: Folder): Promise<string | undefined> {
  const names = await folder.list();
  const models = modelsOf(names);
  if (models.length === 0 || names.some((name) => SAFETENSORS.test(name))) return undefined;
  if (models.length === 1) return models[0];
  throw new CheckpointError("checkpoint.missing", {
    path: folder.name,
    expected: "a folder must hold one model",
    got: `${models.length} GGUF models (${models.slice(0, 8).map(quote).join(", ")})`,
    remedy: "Open one of them by its path.",
  });
}

async function checkPresent(folder: Folder, fileNames: readonly string[]): Promise<void> {
  const present = new Set(await folder.list());
  const absent = fileNames.filter((name) => !present.has(name));
  if (absent.length > 0) throw missing(folder, absent);
}

function missing(folder: Folder, fileNames: readonly string[]): CheckpointError {
  const more = fileNames.length > 8 ? ` and ${fileNames.length - 8} more` : "";
  return new CheckpointError("checkpoint.missing", {
    path: folder.name,
    expected: `the folder must hold ${fileNames.slice(0, 8).map(quote).join(", ")}${more}`,
    got: "no such file",
    remedy: "Check the name, or download what is missing into the folder.",
  });
}
