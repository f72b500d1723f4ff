import { ConfigError } from "../errors.ts";
import type { ConfigReader } from "./reader.ts";

/** Experts of a layer: `num_experts`, which transformers 5 writes as `num_local_experts` for some families. */
export function expertCount(r: ConfigReader): number {
  const other = r.optionalSize("num_local_experts");
  const one = r.size("num_experts", other);
  if (other !== undefined && one !== other) {
    throw new ConfigError("config.value", {
      path: r.pathOf("num_experts"),
      expected: "must be num_local_experts, which is another name of it",
      got: `${one} and ${other}`,
      remedy: "Take the one that the weights have.",
    });
  }
  return one;
}

/**
 * Which layers are sparse as the Qwen families describe it: every `decoder_sparse_step`-th one, except
 * `mlp_only_layers`. Defaults: transformers `configuration_qwen2_moe.py`, `configuration_qwen3_moe.py`.
 */
export function sparseLayers(r: ConfigReader, nLayers: number): boolean[] {
  const step = r.size("decoder_sparse_step", 1);
  const dense = r.raw("mlp_only_layers") ?? [];
  const isLayer = (layer: unknown): boolean => Number.isSafeInteger(layer) && (layer as number) >= 0;
  if (!Array.isArray(dense) || !dense.every(isLayer)) throw r.invalid("mlp_only_layers", "a list of layers", dense);
  return Array.from({ length: nLayers }, (_, layer) => (layer + 1) % step === 0 && !dense.includes(layer));
}
