import { CheckpointError, type ErrorCode } from "../errors.ts";
import type { Source } from "../host.ts";
import { DAMAGED } from "./json.ts";

/** Enough for most headers without a vocabulary. */
const FIRST_READ_BYTES = 2 ** 18;

/** The largest header that is read into memory; those with the largest vocabularies have 20 MB. */
const MAX_HEADER_BYTES = 2 ** 27;

/** The most elements of lists, each of which is a value of its own in memory; the largest vocabularies have 10^6 strings. */
const MAX_ITEMS = 2 ** 22;

/** Thrown and caught below only: the header goes on behind the bytes that were read. */
class MoreNeeded {
  readonly sizeBytes: number;

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
  }
}

/**
 * What `parse` makes of a file's beginning. A header does not say how long it is, so `parse` runs on a first piece, and
 * again on one twice as long whenever it needs more. No more is read than twice the header and the first piece.
 */
export async function parseHeader<T>(source: Source, parse: (bytes: HeaderBytes) => T): Promise<T> {
  let sizeBytes = FIRST_READ_BYTES;
  for (;;) {
    const bytes = await source.read(0, Math.min(sizeBytes, source.sizeBytes));
    try {
      return parse(new HeaderBytes(source, bytes));
    } catch (error) {
      if (!(error instanceof MoreNeeded)) throw error;
      sizeBytes = Math.min(Math.max(2 * sizeBytes, error.sizeBytes), MAX_HEADER_BYTES);
    }
  }
}

const TEXT = new TextDecoder("utf-8", { ignoreBOM: true });

/** Strings that each have their length in front, in 64 bits of which the upper half is 0. */
function decodeStrings(stored: Uint8Array, length: number): string[] {
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  const strings: string[] = [];
  for (let at = 0; strings.length < length; ) {
    const begin = at + 8;
    at = begin + view.getUint32(at, true);
    strings.push(TEXT.decode(stored.subarray(begin, at)));
  }
  return strings;
}

/** Little-endian values one after another. Whatever would lie behind the file's end is refused before it is read. */
export class HeaderBytes {
  readonly #source: Source;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #at = 0;
  #nItems = 0;

  constructor(source: Source, bytes: Uint8Array<ArrayBuffer>) {
    this.#source = source;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The file, for messages. */
  get path(): string {
    return this.#source.name;
  }

  /** How far the header was read. */
  get offset(): number {
    return this.#at;
  }

  /** The next bytes, as a copy, so that typed arrays can lie on them. */
  take(sizeBytes: number, what: string): Uint8Array<ArrayBuffer> {
    const from = this.#advance(sizeBytes, what);
    return this.#bytes.slice(from, this.#at);
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#advance(4, what), true);
  }

  /** A 64-bit size or offset, which must be exact as a JavaScript number. */
  u64(what: string): number {
    const from = this.#advance(8, what);
    const value = this.#view.getUint32(from, true) + 2 ** 32 * this.#view.getUint32(from + 4, true);
    if (Number.isSafeInteger(value)) return value;
    const expected = `the size, offset or number in ${what} must be below 2^53`;
    throw this.#refuse(expected, `${this.#view.getBigUint64(from, true)}`);
  }

  /** A 64-bit number of at most `nAtMost` elements of at least `leastBytes` each, for which the file must have room. */
  count(leastBytes: number, what: string, nAtMost = Number.POSITIVE_INFINITY): number {
    const n = this.u64(what);
    this.#checkRoom(n * leastBytes, what);
    if (n > nAtMost) throw this.#refuse(`${what} must be at most ${nAtMost} long`, `${n}`);
    return n;
  }

  /** So many items, each read by `readItem`; memory is taken as they come, not for what a damaged length says. */
  list<T>(length: number, what: string, readItem: (i: number) => T): T[] {
    this.#checkItems(length, what);
    const items: T[] = [];
    for (let i = 0; i < length; i++) items.push(readItem(i));
    return items;
  }

  /**
   * So many strings, which are decoded by the function that is given back: a vocabulary takes longer than all the rest
   * of a header, and not everybody needs it.
   */
  strings(length: number, what: string): () => string[] {
    this.#checkItems(length, what);
    const from = this.#at;
    for (let i = 0; i < length; i++) this.#passString(what);
    const stored = this.#bytes.slice(from, this.#at);
    return () => decodeStrings(stored, length);
  }

  /** UTF-8 with its length in front; U+FFFD where it is something else, since some vocabularies hold single bytes. */
  string(what: string, nBytesAtMost?: number): string {
    const from = this.#advance(this.count(1, what, nBytesAtMost), what);
    return TEXT.decode(this.#bytes.subarray(from, this.#at));
  }

  #passString(what: string): void {
    const begin = this.#at + 8;
    if (begin <= this.#bytes.length && this.#view.getUint32(this.#at + 4, true) === 0) {
      const end = begin + this.#view.getUint32(this.#at, true);
      if (end <= this.#bytes.length) {
        this.#at = end;
        return;
      }
    }
    // What is more than the bytes at hand is to be read, or refused.
    this.#advance(this.count(1, what), what);
  }

  #checkItems(length: number, what: string): void {
    this.#nItems += length;
    if (this.#nItems <= MAX_ITEMS) return;
    throw this.#refuse(`the lists of a header must have at most ${MAX_ITEMS} elements`, `${what} of ${length}`);
  }

  /** Passes these bytes, which then have been read, and gives their offset. */
  #advance(sizeBytes: number, what: string): number {
    this.#checkRoom(sizeBytes, what);
    const from = this.#at;
    const end = from + sizeBytes;
    if (end > this.#bytes.length) throw new MoreNeeded(end);
    this.#at = end;
    return from;
  }

  #checkRoom(sizeBytes: number, what: string): void {
    const { sizeBytes: fileSizeBytes } = this.#source;
    if (this.#at + sizeBytes <= Math.min(fileSizeBytes, MAX_HEADER_BYTES)) return;
    const got = `${what} of ${sizeBytes} bytes from byte ${this.#at} on`;
    if (this.#at + sizeBytes <= fileSizeBytes) {
      throw this.#refuse(`the header must be at most ${MAX_HEADER_BYTES} bytes`, got);
    }
    const expected = `${what} must end inside the file of ${fileSizeBytes} bytes`;
    throw this.#refuse(expected, got, "checkpoint.truncated");
  }

  #refuse(expected: string, got: string, code: ErrorCode = "checkpoint.header"): CheckpointError {
    return new CheckpointError(code, { path: this.path, expected, got, remedy: DAMAGED });
  }
}
