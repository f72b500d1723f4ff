import { PAGE_SIZE } from "../tape/rows.ts";

/** Hands out pages of the key-value cache; one page holds the same slots in every layer. */
export class PagePool {
  readonly #free: number[] = [];
  /** Sequences that share each page. */
  readonly #nOwners: number[] = [];

  /** Pages that exist, in use or free. */
  get nPages(): number {
    return this.#nOwners.length;
  }

  get nFreePages(): number {
    return this.#free.length;
  }

  take(): number {
    const page = this.#free.pop() ?? this.#nOwners.length;
    this.#nOwners[page] = 1;
    return page;
  }

  share(page: number): void {
    this.#nOwners[page]++;
  }

  isShared(page: number): boolean {
    return this.#nOwners[page] > 1;
  }

  give(page: number): void {
    this.#nOwners[page]--;
    if (this.#nOwners[page] === 0) this.#free.push(page);
  }
}

/** A page whose content a step needs in another page before it begins. */
export interface PageCopy {
  readonly from: number;
  readonly to: number;
}

/** One sequence's place in the cache. */
export class Sequence {
  readonly #pool: PagePool;
  readonly pages: number[] = [];
  /** Which of the model's rotary frequencies it uses, from its first token to its last. */
  readonly ropeVariant: number;
  /** Positions whose keys and values are cached. */
  length = 0;

  constructor(pool: PagePool, ropeVariant: number) {
    this.#pool = pool;
    this.ropeVariant = ropeVariant;
  }

  /**
   * Takes the pages that positions [0, length) need. A page that is about to be written and is shared with another
   * sequence is replaced by one of its own; its content is to be copied.
   */
  reserve(length: number): PageCopy[] {
    const copies: PageCopy[] = [];
    const firstWritten = Math.floor(this.length / PAGE_SIZE);
    for (let i = firstWritten; i < this.pages.length; i++) {
      const from = this.pages[i];
      if (!this.#pool.isShared(from)) continue;
      const to = this.#pool.take();
      this.#pool.give(from);
      this.pages[i] = to;
      copies.push({ from, to });
    }
    while (this.pages.length * PAGE_SIZE < length) this.pages.push(this.#pool.take());
    return copies;
  }

  /** Another sequence with the same content, which shares the pages until one of the two writes to them. */
  fork(): Sequence {
    const fork = new Sequence(this.#pool, this.ropeVariant);
    fork.length = this.length;
    for (const page of this.pages.slice(0, Math.ceil(this.length / PAGE_SIZE))) {
      this.#pool.share(page);
      fork.pages.push(page);
    }
    return fork;
  }

  /** Forgets positions from `length` on, and gives back the pages that only they needed. */
  truncate(length: number): void {
    this.length = Math.min(this.length, length);
    for (const page of this.pages.splice(Math.ceil(this.length / PAGE_SIZE))) this.#pool.give(page);
  }

  release(): void {
    this.truncate(0);
  }
}
