/**
 * Byte-pair encoding (Sennrich et al., arXiv:1508.07909): a piece of text becomes symbols, and of all neighbours that
 * may merge, those of the lowest rank do so first, from left to right, until none is left.
 */
import { utf8 } from "./token-bytes.ts";

export interface BpeParts {
  /** Ids that text may become. */
  readonly idOf: ReadonlyMap<string, number>;
  /** Two symbols become one: left, right and merged id of each merge in turn, the lowest rank first. */
  readonly merges: Int32Array;
  /** For characters that are no entry and have no bytes; without it they are left out. */
  readonly unknownId: number | undefined;
  /** Several unknown characters in a row become one unknown token. */
  readonly fusesUnknown: boolean;
  /** Ids of the 256 bytes, for characters that are no entry. */
  readonly byteIds: readonly (number | undefined)[] | undefined;
  /** A piece that is an entry becomes it, though merges may not lead there. */
  readonly ignoresMerges: boolean;
}

/** Merges a piece of n characters in O(n log n). */
export class BytePairEncoding {
  readonly #parts: BpeParts;
  readonly #pairs: PairTable;

  constructor(parts: BpeParts) {
    this.#parts = parts;
    this.#pairs = new PairTable(parts.merges);
  }

  encode(piece: string): Int32Array {
    const { ignoresMerges, idOf } = this.#parts;
    const whole = ignoresMerges ? idOf.get(piece) : undefined;
    if (whole !== undefined) return Int32Array.of(whole);
    const symbols = this.#symbols(piece);
    return symbols.length < 2 ? symbols : this.#merge(symbols);
  }

  #symbols(piece: string): Int32Array {
    const { idOf, unknownId, fusesUnknown, byteIds } = this.#parts;
    const symbols: number[] = [];
    let isUnknownLast = false;
    for (const character of piece) {
      const id = idOf.get(character);
      const bytes = id === undefined ? bytesOf(character, byteIds) : undefined;
      if (id !== undefined) symbols.push(id);
      else if (bytes !== undefined) symbols.push(...bytes);
      else if (unknownId !== undefined && !(fusesUnknown && isUnknownLast)) symbols.push(unknownId);
      isUnknownLast = id === undefined && bytes === undefined;
    }
    return Int32Array.from(symbols);
  }

  /** Merges in place: a symbol that was merged into its left neighbour becomes -1. */
  #merge(ids: Int32Array): Int32Array {
    const pairs = this.#pairs;
    const n = ids.length;
    const next = Int32Array.from({ length: n }, (_, i) => i + 1);
    const previous = Int32Array.from({ length: n }, (_, i) => i - 1);
    // Rank and position as one number, which is exact: a string has less than 2^29 characters, a file less than 2^24 merges.
    const queue = new MinHeap();
    const push = (at: number, right: number): void => {
      const pair = pairs.find(ids[at], ids[right]);
      if (pair >= 0) queue.push(pairs.rank(pair) * n + at);
    };
    for (let i = 0; i + 1 < n; i++) push(i, i + 1);

    while (queue.size > 0) {
      const key = queue.pop();
      const at = key % n;
      const right = next[at];
      if (ids[at] < 0 || right >= n) continue;
      const pair = pairs.find(ids[at], ids[right]);
      // The neighbours may have merged otherwise since this was put into the queue.
      if (pair < 0 || pairs.rank(pair) * n + at !== key) continue;
      ids[at] = pairs.merged(pair);
      ids[right] = -1;
      next[at] = next[right];
      if (next[at] < n) {
        previous[next[at]] = at;
        push(at, next[at]);
      }
      if (previous[at] >= 0) push(previous[at], at);
    }
    return ids.filter((id) => id >= 0);
  }
}

function bytesOf(character: string, byteIds: BpeParts["byteIds"]): number[] | undefined {
  if (byteIds === undefined) return undefined;
  const ids = Array.from(utf8(character), (byte) => byteIds[byte]);
  return ids.every((id) => id !== undefined) ? ids : undefined;
}

/** Merges by their two symbols: open addressing in one array, since there may be hundreds of thousands. */
class PairTable {
  /** left, right, rank, merged. */
  readonly #slots: Int32Array;
  readonly #mask: number;

  constructor(merges: Int32Array) {
    const nMerges = merges.length / 3;
    const nSlots = 2 ** Math.ceil(Math.log2(2 * nMerges + 2));
    this.#mask = nSlots - 1;
    this.#slots = new Int32Array(nSlots * 4).fill(-1);
    // Where a pair is listed twice the last one counts, as in Hugging Face's tokenizers.
    for (let rank = 0; rank < nMerges; rank++) {
      const [left, right, merged] = [merges[3 * rank], merges[3 * rank + 1], merges[3 * rank + 2]];
      const slot = this.#slotOf(left, right);
      this.#slots[slot] = left;
      this.#slots[slot + 1] = right;
      this.#slots[slot + 2] = rank;
      this.#slots[slot + 3] = merged;
    }
  }

  /** Where the pair is; -1 where it does not merge. */
  find(left: number, right: number): number {
    const slot = this.#slotOf(left, right);
    return this.#slots[slot] < 0 ? -1 : slot;
  }

  rank(slot: number): number {
    return this.#slots[slot + 2];
  }

  merged(slot: number): number {
    return this.#slots[slot + 3];
  }

  /** The pair's slot, or the free one where it would be. */
  #slotOf(left: number, right: number): number {
    const slots = this.#slots;
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca77);
    hash ^= hash >>> 15;
    for (let i = hash & this.#mask; ; i = (i + 1) & this.#mask) {
      const slot = i * 4;
      if (slots[slot] < 0 || (slots[slot] === left && slots[slot + 1] === right)) return slot;
    }
  }
}

/** A binary heap of numbers, the smallest first. */
class MinHeap {
  readonly #items: number[] = [];

  get size(): number {
    return this.#items.length;
  }

  push(item: number): void {
    const items = this.#items;
    let at = items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (items[parent] <= item) break;
      items[at] = items[parent];
      at = parent;
    }
    items[at] = item;
  }

  /** The smallest, which is removed; there must be one. */
  pop(): number {
    const items = this.#items;
    const [first] = items;
    const last = items.pop() as number;
    const n = items.length;
    if (n === 0) return first;
    let at = 0;
    for (let child = 1; child < n; child = 2 * at + 1) {
      if (child + 1 < n && items[child + 1] < items[child]) child++;
      if (items[child] >= last) break;
      items[at] = items[child];
      at = child;
    }
    items[at] = last;
    return first;
  }
}
