import { randomUUID } from "node:crypto";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { CheckpointError, type Sink } from "../src/index.ts";
import { asWriteError, syncFolder } from "./write-atomically.ts";

/** A file on disk that is written under a temporary name beside its own, which it takes when it is finished. */
export async function createFile(path: string): Promise<Sink> {
  const isFolder = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (isFolder) {
    throw new CheckpointError("checkpoint.write", {
      path,
      expected: "a file cannot take the place of a folder",
      got: "a folder",
      remedy: "Give the path of a file.",
    });
  }
  const temporary = `${path}.${randomUUID().slice(0, 8)}.partial`;
  const handle = await open(temporary, "wx").catch((error) => {
    throw asWriteError(path, error);
  });
  return new FileSink(path, temporary, handle);
}

class FileSink implements Sink {
  readonly #path: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;

  constructor(path: string, temporary: string, handle: FileHandle) {
    this.#path = path;
    this.#temporary = temporary;
    this.#handle = handle;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    try {
      for (let n = 0; n < bytes.length; ) {
        n += (await this.#handle.write(bytes, n, bytes.length - n, offset + n)).bytesWritten;
      }
    } catch (error) {
      throw asWriteError(this.#path, error);
    }
  }

  async finish(): Promise<void> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#temporary, this.#path);
      await syncFolder(dirname(this.#path));
    } catch (error) {
      throw asWriteError(this.#path, error);
    }
  }

  async abort(): Promise<void> {
    await this.#handle.close();
    await rm(this.#temporary, { force: true });
  }
}
