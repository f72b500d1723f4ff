import type { TypedTensor } from "./types.ts";

/** The weights of a folder: one file, or several with an index, as transformers splits them. */
export interface Shard {
  readonly name: string;
  readonly tensors: readonly TypedTensor[];
}

/** In the tensors' order: a shard ends where the next tensor would take it beyond `shardSizeBytes`. */
export function shardsOf(tensors: readonly TypedTensor[], shardSizeBytes: number): Shard[] {
  const groups: TypedTensor[][] = [[]];
  let sizeBytes = 0;
  for (const tensor of tensors) {
    if (sizeBytes > 0 && sizeBytes + tensor.sizeBytes > shardSizeBytes) {
      groups.push([]);
      sizeBytes = 0;
    }
    groups.at(-1)?.push(tensor);
    sizeBytes += tensor.sizeBytes;
  }
  if (groups.length === 1) return [{ name: "model.safetensors", tensors }];
  const number = (n: number): string => `${n}`.padStart(5, "0");
  return groups.map((group, i) => ({
    name: `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`,
    tensors: group,
  }));
}

/** The content of model.safetensors.index.json. */
export function shardIndex(shards: readonly Shard[]) {
  const sizeBytes = shards.flatMap(({ tensors }) => tensors).reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  const places = shards.flatMap(({ name, tensors }) => tensors.map((tensor) => [tensor.name, name] as const));
  return {
    metadata: { total_size: sizeBytes },
    weight_map: Object.fromEntries(places.toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
}
