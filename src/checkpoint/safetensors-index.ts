import { CheckpointError } from "../errors.ts";
import type { Source } from "../host.ts";
import { type CheckpointFile, quote, tensorPath } from "./checkpoint.ts";
import { DAMAGED, isObject, MAX_JSON_BYTES, parseJsonObject } from "./json.ts";

const REFETCH = "Index and shards must be of one version of the model: download them again together.";

/** Which shard holds each tensor: the `weight_map` of `model.safetensors.index.json`, its file names plain ones. */
export async function readWeightMap(index: Source): Promise<Map<string, string>> {
  const path = index.name;
  if (index.sizeBytes > MAX_JSON_BYTES) {
    const got = `${index.sizeBytes}`;
    const expected = `an index must be at most ${MAX_JSON_BYTES} bytes`;
    throw new CheckpointError("checkpoint.header", { path, expected, got, remedy: DAMAGED });
  }
  const weightMap = parseJsonObject(path, await index.read(0, index.sizeBytes)).get("weight_map");
  if (!isObject(weightMap)) {
    const expected = "weight_map must be an object from tensor name to file name";
    throw new CheckpointError("checkpoint.header", { path, expected, got: quote(weightMap), remedy: DAMAGED });
  }
  const shardOf = new Map<string, string>();
  for (const [name, shard] of weightMap) {
    if (typeof shard !== "string" || !isPlainName(shard)) {
      throw new CheckpointError("checkpoint.header", {
        path: tensorPath(path, name),
        expected: "weight_map must give the plain name of a file beside the index",
        got: quote(shard),
        remedy: "Do not use this index: a model's files lie in one folder.",
      });
    }
    shardOf.set(name, shard);
  }
  return shardOf;
}

/** Refuses shards that do not hold exactly the tensors that the index gives them. */
export function checkShards(
  index: string,
  shardOf: ReadonlyMap<string, string>,
  files: readonly CheckpointFile[],
): void {
  const foundIn = new Map<string, string>();
  for (const { file, source, tensors } of files) {
    for (const { name } of tensors) {
      const other = foundIn.get(name);
      const refuse = (expected: string, got: string) =>
        new CheckpointError("checkpoint.tensor", {
          path: tensorPath(source.name, name),
          expected,
          got,
          remedy: REFETCH,
        });
      if (other !== undefined) throw refuse("a tensor must be in one shard only", `it also in ${quote(other)}`);
      const named = shardOf.get(name);
      if (named === undefined)
        throw refuse("a shard's tensors must be in the index", "one that the index does not name");
      foundIn.set(name, file);
    }
  }
  for (const [name, shard] of shardOf) {
    const found = foundIn.get(name);
    if (found === shard) continue;
    throw new CheckpointError("checkpoint.tensor", {
      path: tensorPath(index, name),
      expected: `the tensor must be in ${quote(shard)}, as the index says`,
      got: found === undefined ? "no such tensor there" : `it in ${quote(found)}`,
      remedy: REFETCH,
    });
  }
}

/** Whether `name` can only mean a file of the same folder, on every platform. */
function isPlainName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\\:\0]/.test(name);
}
