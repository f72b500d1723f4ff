import { CheckpointError } from "../errors.ts";
import type { Source } from "../host.ts";
import { DAMAGED } from "./json.ts";

/** Enough for most headers without a vocabulary. */
const FIRST_READ_BYTES = 2 ** 18;

/** The largest header that is read into memory; those with the largest vocabularies have 20 MB. */
const MAX_HEADER_BYTES = 2 ** 28;

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
      sizeBytes = Math.max(2 * sizeBytes, error.sizeBytes);
    }
  }
}

const TEXT = new TextDecoder("utf-8", { ignoreBOM: true });

/** Little-endian values one after another. Whatever would lie behind the file's end is refused before it is read. */
export class HeaderBytes {
  readonly #source: Source;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #at = 0;

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
    const got = `${this.#view.getBigUint64(from, true)}`;
    const expected = `the size, offset or number in ${what} must be below 2^53`;
    throw new CheckpointError("checkpoint.header", { path: this.path, expected, got, remedy: DAMAGED });
  }

  /** A 64-bit number of elements of at least `leastBytes` each, for all of which the file must have room. */
  count(leastBytes: number, what: string): number {
    const n = this.u64(what);
    this.#checkRoom(n * leastBytes, what);
    return n;
  }

  /** So many items, each read by `readItem`; memory is taken as they come, not for what a damaged length says. */
  list<T>(length: number, readItem: () => T): T[] {
    const items: T[] = [];
    for (let i = 0; i < length; i++) items.push(readItem());
    return items;
  }

  /** UTF-8 with its length in front; U+FFFD where it is something else, since some vocabularies hold single bytes. */
  string(what: string): string {
    const from = this.#advance(this.count(1, what), what);
    return TEXT.decode(this.#bytes.subarray(from, this.#at));
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
    const isTruncated = this.#at + sizeBytes > fileSizeBytes;
    throw new CheckpointError(isTruncated ? "checkpoint.truncated" : "checkpoint.header", {
      path: this.path,
      expected: isTruncated
        ? `${what} must end inside the file of ${fileSizeBytes} bytes`
        : `the header must be at most ${MAX_HEADER_BYTES} bytes`,
      got: `${what} of ${sizeBytes} bytes from byte ${this.#at} on`,
      remedy: DAMAGED,
    });
  }
}
