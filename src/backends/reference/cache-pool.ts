import type { CacheStorage } from "../../tape/op.ts";
import { PAGE_SIZE } from "../../tape/rows.ts";
import { type FloatArray, floatArray, type Precision } from "../../tensor/dtype.ts";

/** Keys and values of all layers, as pools of pages that grow on demand. */
export class CachePool {
  readonly #precision: Precision;
  readonly #layers = new Map<string, { k: FloatArray; v: FloatArray }>();
  #nPages = 0;

  constructor(precision: Precision) {
    this.#precision = precision;
  }

  /** Room for at least `nPages` pages in every layer; doubles, so that decoding seldom grows. */
  reserve(nPages: number): void {
    if (nPages > this.#nPages) this.#nPages = Math.max(nPages, 2 * this.#nPages);
  }

  /** One layer's storage for the slots of all reserved pages. */
  layer(name: string, [nKvHeads, headDim, vHeadDim]: readonly [number, number, number]): CacheStorage {
    const nSlots = this.#nPages * PAGE_SIZE;
    const known = this.#layers.get(name);
    const k = this.#grown(known?.k, nSlots * nKvHeads * headDim);
    const v = this.#grown(known?.v, nSlots * nKvHeads * vHeadDim);
    this.#layers.set(name, { k, v });
    return { k, v };
  }

  clear(): void {
    this.#layers.clear();
  }

  #grown(array: FloatArray | undefined, length: number): FloatArray {
    if (array !== undefined && array.length >= length) return array;
    const grown = floatArray(this.#precision, length);
    if (array !== undefined) grown.set(array);
    return grown;
  }
}
