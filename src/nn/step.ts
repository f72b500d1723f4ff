import { kvAppend } from "../ops/index.ts";
import { keepState } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";

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

  constructor(layers: readonly Value[]) {
    this.#layers = layers;
  }

  layer(index: number): LayerCache {
    return new LayerCache(this.#layers[index], `cache.${index}`);
  }
}

export class LayerCache {
  readonly #cache: Value;
  readonly #name: string;

  constructor(cache: Value, name: string) {
    this.#cache = cache;
    this.#name = name;
  }

  /** The cache with this step's keys [T, nKvHeads, headDim] and values [T, nKvHeads, vHeadDim] in it. */
  append(k: Value, v: Value, rows: Value): Value {
    const after = kvAppend(this.#cache, k, v, rows);
    keepState(this.#name, after);
    return after;
  }
}
