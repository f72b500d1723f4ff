import { CheckpointError } from "../errors.ts";
import type { Folder, Source } from "../host.ts";
import { type Checkpoint, type CheckpointFile, checkpointOf, closeAll, quote } from "./checkpoint.ts";
import { readSafetensorsHeader } from "./safetensors-header.ts";
import { checkShards, readWeightMap } from "./safetensors-index.ts";

const SINGLE_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";
const SUFFIX = ".safetensors";

/**
 * Opens a model's safetensors: `model.safetensors`, else the shards of `model.safetensors.index.json`, else the only
 * `*.safetensors` file of the folder. Costs two small reads per file (one for the index); weights are not touched.
 */
export async function openSafetensors(folder: Folder): Promise<Checkpoint> {
  const single = await folder.open(SINGLE_FILE);
  if (single !== undefined) return openAlone(folder.name, SINGLE_FILE, single);
  const index = await folder.open(INDEX_FILE);
  if (index !== undefined) return openSharded(folder, index);
  const file = onlySafetensors(folder.name, await folder.list());
  return openAlone(folder.name, file, await openShard(folder, file, "its listing"));
}

/** Opens one safetensors file. Owns the source from here on: closes it with the checkpoint, or where it refuses it. */
export function openSafetensorsFile(source: Source): Promise<Checkpoint> {
  return openAlone(source.name, source.name, source);
}

async function openAlone(name: string, file: string, source: Source): Promise<Checkpoint> {
  return checkpointOf(name, "safetensors", [await readOrClose(file, source)]);
}

async function openSharded(folder: Folder, index: Source): Promise<Checkpoint> {
  const shardOf = await readWeightMap(index).finally(() => index.close());
  const files: CheckpointFile[] = [];
  let nTensors = 0;
  try {
    // One after another, so that only one header is in memory, and until there are more tensors than the index names.
    for (const shard of [...new Set(shardOf.values())].sort()) {
      if (nTensors > shardOf.size) break;
      const file = await readOrClose(shard, await openShard(folder, shard, index.name));
      nTensors += file.tensors.length;
      files.push(file);
    }
    checkShards(index.name, shardOf, files);
  } catch (error) {
    await closeAll(files.map(({ source }) => source));
    throw error;
  }
  return checkpointOf(folder.name, "safetensors", files);
}

async function openShard(folder: Folder, file: string, namedBy: string): Promise<Source> {
  const source = await folder.open(file);
  if (source !== undefined) return source;
  throw new CheckpointError("checkpoint.missing", {
    path: folder.name,
    expected: `the folder must hold ${quote(file)}, which ${namedBy} names`,
    got: "no such file",
    remedy: "Download it into the folder.",
  });
}

async function readOrClose(file: string, source: Source): Promise<CheckpointFile> {
  try {
    return await readSafetensorsHeader(file, source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

function onlySafetensors(folder: string, names: readonly string[]): string {
  const files = names.filter((name) => name.endsWith(SUFFIX)).sort();
  const [file] = files;
  if (file !== undefined && files.length === 1) return file;
  const shown = files.slice(0, 8).map(quote).join(", ");
  throw new CheckpointError("checkpoint.missing", {
    path: folder,
    expected: `the folder must hold ${SINGLE_FILE}, ${INDEX_FILE}, or one other *${SUFFIX} file`,
    got: files.length === 0 ? `none among its ${names.length} files` : `${files.length} others (${shown})`,
    remedy:
      files.length === 0
        ? "Download the model's safetensors, or convert its weights to them."
        : "Open one of them by its path, or download the index.",
  });
}
