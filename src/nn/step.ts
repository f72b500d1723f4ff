import { kvAppend, toCache } from "../ops/index.ts";
import { keepState } from "../tape/builder.ts";
import type { KvType, Value } from "../tape/value.ts";

/** What one step gives a model: T tokens, what their rows are, and the cache of every layer. */
export interface Step {
  /** int [T] */
  readonly tokens: Value;
  readonly rows: Value;
  readonly cache: KvCache;
}

/** The key-value caches of all layers, as the tape sees them. */
export class KvCache {
  readonly #layers: readonly Value[];
  readonly type: KvType;

  constructor(layers: readonly Value[], type: KvType) {
    this.#layers = layers;
    this.type = type;
  }

  layer(index: number): LayerCache {
    return new LayerCache(this.#layers[index], `cache.${index}`, this.type);
  }
}

export class LayerCache {
  readonly #cache: Value;
  readonly #name: string;
  readonly #type: KvType;

  constructor(cache: Value, name: string, type: KvType) {
    this.#cache = cache;
    this.#name = name;
    this.#type = type;
  }

  /** Keys or values as the cache will hold them, which is what attention reads. */
  rounded(x: Value): Value {
    return this.#type === "f32" ? x : toCache(x, { type: this.#type });
  }

  /** The cache with this step's keys [T, nKvHeads, headDim] and values [T, nKvHeads, vHeadDim] in it. */
  append(k: Value, v: Value, rows: Value): Value {
    const after = kvAppend(this.#cache, k, v, rows);
    keepState(this.#name, after);
    return after;
  }
}
