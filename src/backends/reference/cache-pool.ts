import type { CacheStorage } from "../../tape/op.ts";
import { PAGE_SIZE } from "../../tape/rows.ts";
import { type FloatArray, floatArray, type Precision } from "../../tensor/dtype.ts";

interface Layer {
  k: FloatArray;
  v: FloatArray;
  /** Elements of one page in each. */
  readonly kPage: number;
  readonly vPage: number;
}

/** Keys and values of all layers, as pools of pages that grow on demand. */
export class CachePool {
  readonly #precision: Precision;
  readonly #layers = new Map<string, Layer>();
  #nPages = 0;

  constructor(precision: Precision) {
    this.#precision = precision;
  }

  /** Room for at least `nPages` pages in every layer; doubles, so that decoding seldom grows. */
  reserve(nPages: number): void {
    if (nPages <= this.#nPages) return;
    this.#nPages = Math.max(nPages, 2 * this.#nPages);
    for (const layer of this.#layers.values()) {
      layer.k = this.#grown(layer.k, this.#nPages * layer.kPage);
      layer.v = this.#grown(layer.v, this.#nPages * layer.vPage);
    }
  }

  /** One layer's storage for the slots of all reserved pages. */
  layer(name: string, [nKvHeads, headDim, vHeadDim]: readonly [number, number, number]): CacheStorage {
    const known = this.#layers.get(name);
    if (known !== undefined) return known;
    const [kPage, vPage] = [PAGE_SIZE * nKvHeads * headDim, PAGE_SIZE * nKvHeads * vHeadDim];
    const layer = {
      k: floatArray(this.#precision, this.#nPages * kPage),
      v: floatArray(this.#precision, this.#nPages * vPage),
      kPage,
      vPage,
    };
    this.#layers.set(name, layer);
    return layer;
  }

  copyPage(from: number, to: number): void {
    for (const { k, v, kPage, vPage } of this.#layers.values()) {
      k.copyWithin(to * kPage, from * kPage, (from + 1) * kPage);
      v.copyWithin(to * vPage, from * vPage, (from + 1) * vPage);
    }
  }

  clear(): void {
    this.#layers.clear();
  }

  #grown(array: FloatArray, length: number): FloatArray {
    const grown = floatArray(this.#precision, length);
    grown.set(array);
    return grown;
  }
}
