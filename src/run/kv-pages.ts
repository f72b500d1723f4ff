import { PAGE_SIZE } from "../tape/rows.ts";

/** Hands out pages of the key-value cache; one page holds the same slots in every layer. */
export class PagePool {
  readonly #free: number[] = [];
  #nPages = 0;

  /** Pages that exist, in use or free. */
  get nPages(): number {
    return this.#nPages;
  }

  take(): number {
    return this.#free.pop() ?? this.#nPages++;
  }

  give(pages: readonly number[]): void {
    this.#free.push(...pages);
  }
}

/** One conversation's place in the cache. */
export class Sequence {
  readonly #pool: PagePool;
  readonly pages: number[] = [];
  /** Positions whose keys and values are cached. */
  length = 0;

  constructor(pool: PagePool) {
    this.#pool = pool;
  }

  /** Takes the pages that positions [0, length) need. */
  reserve(length: number): void {
    while (this.pages.length * PAGE_SIZE < length) this.pages.push(this.#pool.take());
  }

  release(): void {
    this.#pool.give(this.pages.splice(0));
    this.length = 0;
  }
}
