import { type BigIntStats, closeSync, fstatSync, openSync, read, readSync, statSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { promisify } from "node:util";
import { CheckpointError, type Folder, type Source } from "../src/index.ts";

/** The most that one system call is asked for; above 2 GiB they refuse. */
const MAX_READ_BYTES = 2 ** 30;

/** Up to here reading takes less time than handing it to another thread. */
const MAX_DIRECT_BYTES = 65_536;

const readInThread = promisify(read);

/** A folder on disk, as a model's directory. */
export async function openFolder(path: string): Promise<Folder> {
  const stats = await stat(path).catch((error) => {
    throw unreadable(path, "the folder must exist and be readable", error);
  });
  if (!stats.isDirectory()) {
    throw missing(path, "it must be a folder", "a file", "Give the folder that holds the model's files.");
  }
  return {
    name: path,
    list: async () => {
      const entries = await readdir(path, { withFileTypes: true }).catch((error) => {
        throw unreadable(path, "the folder must be readable", error);
      });
      return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
    },
    open: async (fileName) => {
      checkPlainName(path, fileName);
      return openIfPresent(join(path, fileName));
    },
  };
}

/** A file on disk, read by position through one handle; reads may overlap. */
export async function openFile(path: string): Promise<Source> {
  const source = await openIfPresent(path);
  if (source !== undefined) return source;
  throw missing(path, "the file must exist", "no such file", "Check the path, or download the file.");
}

/** Asks the system directly: it answers within microseconds, and another thread's answer takes milliseconds to come. */
function openIfPresent(path: string): Source | undefined {
  let descriptor: number | undefined;
  try {
    // Asked before opening, since opening a named pipe waits for its writer.
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return undefined;
    if (!stats.isFile()) {
      throw missing(path, "it must be a regular file", "something else, such as a folder", "Give the path of a file.");
    }
    descriptor = openSync(path, "r");
    return new FileSource(path, descriptor, fstatSync(descriptor, { bigint: true }));
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    if (error instanceof CheckpointError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unreadable(path, "the file must be readable", error);
  }
}

class FileSource implements Source {
  readonly name: string;
  readonly filePath: string;
  readonly sizeBytes: number;
  readonly #descriptor: number;
  readonly #opened: BigIntStats;
  #nReads = 0;
  #isClosed = false;

  constructor(name: string, descriptor: number, opened: BigIntStats) {
    this.name = name;
    this.filePath = resolve(name);
    this.sizeBytes = Number(opened.size);
    this.#descriptor = descriptor;
    this.#opened = opened;
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    this.#checkOpen();
    if (!(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes)) {
      throw truncated(this.name, offset, length, `a file of ${this.sizeBytes} bytes`);
    }
    const bytes = new Uint8Array(length);
    for (let nRead = 0; nRead < length; ) {
      const n = await this.#readSome(bytes, nRead, offset + nRead);
      if (n === 0) {
        this.checkUnchanged();
        throw truncated(this.name, offset, length, `its end at byte ${offset + nRead}`);
      }
      nRead += n;
    }
    this.checkUnchanged();
    return bytes;
  }

  checkUnchanged(): void {
    const change = changeOf(this.#opened, statsNow(this.filePath));
    if (change === undefined) return;
    throw new CheckpointError("checkpoint.changed", {
      path: this.name,
      expected: "a file must stay as it is while it is open",
      got: change,
      remedy: "Open it again.",
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closeIfIdle();
  }

  /** A read under way would go on in whatever file has the number next. */
  #closeIfIdle(): void {
    if (this.#isClosed && this.#nReads === 0) closeSync(this.#descriptor);
  }

  async #readSome(bytes: Uint8Array, at: number, position: number): Promise<number> {
    this.#checkOpen();
    const length = Math.min(bytes.length - at, MAX_READ_BYTES);
    this.#nReads++;
    try {
      if (length <= MAX_DIRECT_BYTES) return readSync(this.#descriptor, bytes, at, length, position);
      return (await readInThread(this.#descriptor, bytes, at, length, position)).bytesRead;
    } catch (error) {
      throw unreadable(this.name, "the file must be readable", error);
    } finally {
      this.#nReads--;
      this.#closeIfIdle();
    }
  }

  #checkOpen(): void {
    if (!this.#isClosed) return;
    throw missing(this.name, "a file must be open while it is read", "a closed one", "Close it after the last read.");
  }
}

function statsNow(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    throw unreadable(path, "the file must be readable", error);
  }
}

/** What another look at a file's name found, where that is not the file as it was opened. */
function changeOf(opened: BigIntStats, now: BigIntStats | undefined): string | undefined {
  if (now === undefined) return "no file of its name any more";
  if (now.ino !== opened.ino || now.dev !== opened.dev) return "another file in its place";
  if (now.size !== opened.size) return `${now.size} bytes instead of ${opened.size}`;
  return now.mtimeNs === opened.mtimeNs ? undefined : "one that was written to since";
}

function checkPlainName(folder: string, name: string): void {
  const isPlain = name !== "" && name !== "." && name !== ".." && !/[/\\\0]/.test(name) && name === basename(name);
  if (isPlain) return;
  const expected = "a file of a folder is opened by its plain name";
  throw missing(folder, expected, JSON.stringify(name), "Names must not contain separators, `..` or NUL.");
}

function missing(path: string, expected: string, got: string, remedy: string): CheckpointError {
  return new CheckpointError("checkpoint.missing", { path, expected, got, remedy });
}

function unreadable(path: string, expected: string, cause: unknown): CheckpointError {
  const got = (cause as NodeJS.ErrnoException).code ?? String(cause);
  const remedy = "Check the path and its permissions.";
  return new CheckpointError("checkpoint.missing", { path, expected, got, remedy, cause });
}

function truncated(path: string, offset: number, length: number, got: string): CheckpointError {
  const expected = `bytes ${offset} to ${offset + length} must lie inside the file`;
  const remedy = "The file is shorter than it says: download it again.";
  return new CheckpointError("checkpoint.truncated", { path, expected, got, remedy });
}
