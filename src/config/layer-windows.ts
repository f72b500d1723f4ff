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
  return windowsByType(r, nLayers, window, (layer) => layer >= firstSliding);
}

/**
 * As Qwen2-MoE describes it, which writes a window of 0 where `use_sliding_window` is not set: it then holds for every
 * other layer, from the first one on, before `max_window_layers`. Defaults: transformers `configuration_qwen2_moe.py`.
 */
export function alternatingWindows(r: ConfigReader, nLayers: number): (number | undefined)[] {
  const isOn = r.flag("use_sliding_window", false);
  const size = isOn ? r.sizeOrNull("sliding_window", 4096) : r.count("sliding_window", 4096);
  const end = r.count("max_window_layers", 28);
  return windowsByType(r, nLayers, isOn ? size : undefined, (layer) => layer % 2 === 0 && layer < end);
}

/** One window for the layers that `layer_types` calls sliding, or `isSliding` where it says nothing. */
export function windowsByType(
  r: ConfigReader,
  nLayers: number,
  window: number | undefined,
  isSliding: (layer: number) => boolean,
): (number | undefined)[] {
  const types = readLayerTypes(r, nLayers);
  if (window === undefined && types?.includes("sliding_attention")) {
    throw new ConfigError("config.value", {
      path: `${r.fileName}: layer_types`,
      expected: "a layer of type sliding_attention needs a sliding_window, and use_sliding_window in the Qwen families",
      got: "neither or one of them",
    });
  }
  return Array.from({ length: nLayers }, (_, layer) => {
    const slides = types === undefined ? isSliding(layer) : types[layer] === "sliding_attention";
    return slides ? window : undefined;
  });
}

function readLayerTypes(r: ConfigReader, nLayers: number): readonly string[] | undefined {
  const types = r.raw("layer_types");
  if (types === undefined) return undefined;
  const isList = Array.isArray(types) && types.length === nLayers && types.every((t) => LAYER_TYPES.includes(t));
  if (!isList) throw r.invalid("layer_types", `${nLayers} of ${LAYER_TYPES.join(", ")}`, types);
  return types;
}
