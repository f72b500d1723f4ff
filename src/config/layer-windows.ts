import type { ConfigReader } from "./reader.ts";

/** How far back a row of this layer sees. */
const LAYER_TYPES = ["full_attention", "sliding_attention"] as const;

/**
 * The sliding window of each layer (undefined: all keys) as the Qwen families describe it: `use_sliding_window`
 * turns `sliding_window` on from layer `max_window_layers`, unless `layer_types` says it layer by layer.
 */
export function layerWindows(r: ConfigReader, nLayers: number): (number | undefined)[] {
  const window = r.optionalSize("sliding_window");
  const enabled = r.flag("use_sliding_window", false) && window !== undefined;
  const firstSliding = (r.raw("max_window_layers") as number | undefined) ?? nLayers;
  const types = readLayerTypes(r, nLayers);
  return Array.from({ length: nLayers }, (_, layer) => {
    const sliding = types === undefined ? layer >= firstSliding : types[layer] === "sliding_attention";
    return enabled && sliding ? window : undefined;
  });
}

function readLayerTypes(r: ConfigReader, nLayers: number): readonly string[] | undefined {
  const types = r.raw("layer_types");
  if (types === undefined) return undefined;
  const isList = Array.isArray(types) && types.length === nLayers && types.every((t) => LAYER_TYPES.includes(t));
  if (!isList) throw r.invalid("layer_types", `${nLayers} of ${LAYER_TYPES.join(", ")}`, types);
  return types;
}
