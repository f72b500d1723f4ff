import { ConfigError } from "../errors.ts";
import type { ConfigReader } from "./reader.ts";

/** How far back a row of this layer sees. */
const LAYER_TYPES = ["full_attention", "sliding_attention"] as const;

/**
 * The sliding window of each layer (undefined: all keys) as the Qwen families describe it: `use_sliding_window`
 * turns `sliding_window` on from layer `max_window_layers`, unless `layer_types` says it layer by layer.
 * Defaults: transformers `configuration_qwen2.py`, `configuration_qwen3.py`.
 */
export function layerWindows(r: ConfigReader, nLayers: number): (number | undefined)[] {
  const size = r.sizeOrNull("sliding_window", 4096);
  const window = r.flag("use_sliding_window", false) ? size : undefined;
  const firstSliding = r.count("max_window_layers", 28);
  const types = readLayerTypes(r, nLayers);
  if (window === undefined && types?.includes("sliding_attention")) {
    throw new ConfigError("config.value", {
      path: `${r.fileName}: layer_types`,
      expected: "a layer of type sliding_attention needs use_sliding_window and a sliding_window",
      got: "neither or one of them",
    });
  }
  return Array.from({ length: nLayers }, (_, layer) => {
    const sliding = types === undefined ? layer >= firstSliding : types[layer] === "sliding_attention";
    return sliding ? window : undefined;
  });
}

function readLayerTypes(r: ConfigReader, nLayers: number): readonly string[] | undefined {
  const types = r.raw("layer_types");
  if (types === undefined) return undefined;
  const isList = Array.isArray(types) && types.length === nLayers && types.every((t) => LAYER_TYPES.includes(t));
  if (!isList) throw r.invalid("layer_types", `${nLayers} of ${LAYER_TYPES.join(", ")}`, types);
  return types;
}
