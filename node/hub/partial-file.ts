import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { HubFile } from "./repository.ts";

const PIECE_BYTES = 2 ** 20;

/** The beginning of a file, hashed as it grows. */
export class PartialFile {
  readonly #handle: FileHandle;
  readonly #file: HubFile;
  #hash: Hash;
  #sizeBytes = 0;

  private constructor(handle: FileHandle, file: HubFile) {
    this.#handle = handle;
    this.#file = file;
    this.#hash = newHash(file);
  }

  /** Opens what an earlier download left, or an empty file; one that is too long is of no use. */
  static async open(path: string, file: HubFile, signal: AbortSignal): Promise<PartialFile> {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o666);
    const partial = new PartialFile(handle, file);
    try {
      const { size } = await handle.stat();
      if (size > file.sizeBytes) await partial.empty();
      else await partial.#hashExisting(size, signal);
      return partial;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async append(chunk: Uint8Array): Promise<void> {
    for (let nWritten = 0; nWritten < chunk.length; ) {
      const left = chunk.subarray(nWritten);
      const { bytesWritten } = await this.#handle.write(left, 0, left.length, this.#sizeBytes);
      this.#hash.update(left.subarray(0, bytesWritten));
      this.#sizeBytes += bytesWritten;
      nWritten += bytesWritten;
    }
  }

  /** To the beginning. What stands there is written over rather than cut off, since it is the same. */
  rewind(): void {
    this.#hash = newHash(this.#file);
    this.#sizeBytes = 0;
  }

  /** Drops bytes that are of another file. */
  async empty(): Promise<void> {
    await this.#handle.truncate(0);
    this.rewind();
  }

  /** Of all bytes; once. */
  digest(): string {
    return this.#hash.digest("hex");
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #hashExisting(sizeBytes: number, signal: AbortSignal): Promise<void> {
    const piece = Buffer.alloc(PIECE_BYTES);
    while (this.#sizeBytes < sizeBytes) {
      signal.throwIfAborted();
      const { bytesRead } = await this.#handle.read(piece, 0, piece.length, this.#sizeBytes);
      if (bytesRead === 0) return;
      this.#hash.update(piece.subarray(0, bytesRead));
      this.#sizeBytes += bytesRead;
    }
  }
}

/** Large files are named by their sha256, small ones by the hash that git gives to a blob. */
function newHash({ etag, sizeBytes }: HubFile): Hash {
  return etag.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${sizeBytes}\0`);
}
