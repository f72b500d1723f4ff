import { randomUUID } from "node:crypto";
import { type FileHandle, lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { CheckpointError } from "../src/index.ts";

/** What a failed write may have met on a full disk, or at the limit of a file's size. */
const NO_ROOM = ["ENOSPC", "EDQUOT", "EFBIG"];

type Pieces = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes a file or a folder under a temporary name beside its own, which it takes once everything is on the disk. Where
 * `write` fails nothing is left behind, and what was there before stays.
 */
export async function writeAtomically(target: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${target}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    await write(temporary);
    await replace(target, temporary);
    await syncFolder(dirname(target));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw asWriteError(target, error);
  }
}

/** A new file with these bytes, which are on the disk when it resolves; `onBytes` hears of each piece. */
export async function writeFileDurably(
  path: string,
  pieces: Pieces,
  onBytes: (sizeBytes: number) => void = () => {},
): Promise<void> {
  const handle = await open(path, "wx");
  try {
    for await (const piece of pieces) {
      await writeWhole(handle, piece);
      onBytes(piece.length);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A new folder whose entries are on the disk once `write` has made them. */
export async function writeFolderDurably(path: string, write: () => Promise<void>): Promise<void> {
  await mkdir(path);
  await write();
  await syncFolder(path);
}

async function writeWhole(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let nWritten = 0; nWritten < bytes.length; ) {
    nWritten += (await handle.write(bytes, nWritten, bytes.length - nWritten)).bytesWritten;
  }
}

/** A folder cannot be renamed onto one that is not empty: the old one steps aside first, and back where that fails. */
async function replace(target: string, temporary: string): Promise<void> {
  const isFolder = await lstat(target).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (!isFolder) return rename(temporary, target);
  const old = `${temporary}.old`;
  await rename(target, old);
  try {
    await rename(temporary, target);
  } catch (error) {
    await rename(old, target);
    throw error;
  }
  await rm(old, { recursive: true });
}

/** Makes names durable; Windows has nothing like it. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(path, "r");
  await handle.sync().finally(() => handle.close());
}

/** An error of the file system in words; any other error as it is. */
export function asWriteError(path: string, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  const isFull = NO_ROOM.includes(code);
  return new CheckpointError("checkpoint.write", {
    path,
    expected: isFull ? "there must be room on the disk for the whole target" : "the target must be writable",
    got: code,
    remedy: isFull
      ? "Nothing was changed: free some space, or write to another disk."
      : "Nothing was changed: check the path and its permissions.",
    cause: error,
  });
}
