import { copyFile, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { CheckpointError } from "../../src/index.ts";
import { writeAtomically } from "../write-atomically.ts";
import { isCommit } from "./repository.ts";
import type { ListedFile } from "./select.ts";
import type { HubSettings } from "./settings.ts";

const FOLDER_PREFIX = "models--";

/** Names that could lead out of a snapshot, or mean something else on Windows. */
const UNSAFE = /(^|\/)(\.{0,2}|[^/]*[. ])(\/|$)|[\\:*?"<>|\p{Cc}]/u;

/** What a write may meet on a full disk, or at the limit of a file's size. */
const NO_ROOM = ["ENOSPC", "EDQUOT", "EFBIG"];

/**
 * A repository's folder in the cache that Python's huggingface_hub uses too: `blobs/<etag>` hold the bytes,
 * `snapshots/<commit>/<path>` link to them, `refs/<revision>` say which commit a branch or tag stood for.
 */
export class CachedRepository {
  readonly repository: string;
  readonly folder: string;
  readonly #symlinks: boolean;
  readonly #locks: string;

  constructor({ cacheFolder, symlinks }: HubSettings, repository: string) {
    const name = `${FOLDER_PREFIX}${repository.replace("/", "--")}`;
    this.repository = repository;
    this.folder = join(cacheFolder, name);
    this.#symlinks = symlinks;
    this.#locks = join(cacheFolder, ".locks", name);
  }

  blobPath(etag: string): string {
    return join(this.folder, "blobs", etag);
  }

  /** Not the name that Python gives to its own, since it takes no notice of our lock. */
  partialPath(etag: string): string {
    return join(this.folder, "blobs", `${etag}.golgi.incomplete`);
  }

  lockPath(etag: string): string {
    return join(this.#locks, `${etag}.golgi.lock`);
  }

  snapshotPath(commit: string, path = ""): string {
    if (path !== "" && UNSAFE.test(path)) {
      throw new CheckpointError("checkpoint.missing", {
        path: `hf:${this.repository}`,
        expected: "its files must have plain names",
        got: JSON.stringify(path),
      });
    }
    return join(this.folder, "snapshots", commit, path);
  }

  /** The commit that a revision stood for when it was last asked; undefined for one that never was. */
  async readRef(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const commit = await ifPresent(readFile(this.#refPath(revision), "utf8"));
    return commit !== undefined && isCommit(commit.trim()) ? commit.trim() : undefined;
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    if ((await this.readRef(revision)) === commit) return;
    const path = this.#refPath(revision);
    await mkdir(dirname(path), { recursive: true });
    await writeAtomically(path, (temporary) => writeFile(temporary, commit));
  }

  /** Whether a snapshot holds a file, whole as far as its size tells. */
  async has(commit: string, { path, sizeBytes }: ListedFile): Promise<boolean> {
    return (await ifPresent(stat(this.snapshotPath(commit, path))))?.size === sizeBytes;
  }

  async prepare(etag: string): Promise<void> {
    await mkdir(dirname(this.blobPath(etag)), { recursive: true });
    await mkdir(dirname(this.lockPath(etag)), { recursive: true });
  }

  /**
   * Puts a blob into a snapshot: as a relative link, which survives a move of the cache; where there can be no links the
   * file itself, which a blob that is new gives up.
   */
  async link(etag: string, commit: string, path: string, isNew: boolean): Promise<void> {
    const [blob, target] = [this.blobPath(etag), this.snapshotPath(commit, path)];
    await mkdir(dirname(target), { recursive: true });
    await writeAtomically(target, async (temporary) => {
      if (this.#symlinks && (await tryLink(relative(dirname(target), blob), temporary))) return;
      await (isNew ? rename(blob, temporary) : copyFile(blob, temporary));
    });
  }

  /** The commits of which something is here. */
  async snapshots(): Promise<string[]> {
    return ((await ifPresent(readdir(join(this.folder, "snapshots")))) ?? []).filter(isCommit).sort();
  }

  /** The files of a snapshot; a link whose blob is gone counts for none. */
  async listSnapshot(commit: string): Promise<ListedFile[]> {
    const root = this.snapshotPath(commit);
    const names = ((await ifPresent(readdir(root, { recursive: true }))) ?? []).sort();
    const files = await Promise.all(
      names.map(async (name) => ({ path: name.replaceAll("\\", "/"), stats: await ifPresent(stat(join(root, name))) })),
    );
    return files.flatMap(({ path, stats }) => (stats?.isFile() ? [{ path, sizeBytes: stats.size }] : []));
  }

  /** Branches and tags that are known, by commit. */
  async refs(): Promise<Map<string, string[]>> {
    const root = join(this.folder, "refs");
    const names = (await ifPresent(readdir(root, { recursive: true, withFileTypes: true }))) ?? [];
    const refs = new Map<string, string[]>();
    for (const entry of names.filter((entry) => entry.isFile() && !entry.name.endsWith(".tmp"))) {
      const revision = relative(root, join(entry.parentPath, entry.name)).replaceAll("\\", "/");
      const commit = await this.readRef(revision);
      if (commit !== undefined) refs.set(commit, [...(refs.get(commit) ?? []), revision]);
    }
    return refs;
  }

  /** What has come of a file that is not whole. */
  async partialBytes(etag: string): Promise<number> {
    return (await ifPresent(stat(this.partialPath(etag))))?.size ?? 0;
  }

  /** What has come of all files that are not whole, by whichever program. */
  async allPartialBytes(): Promise<number> {
    const folder = join(this.folder, "blobs");
    const names = (await ifPresent(readdir(folder))) ?? [];
    const partial = names.filter((name) => name.endsWith(".incomplete"));
    const sizes = await Promise.all(
      partial.map(async (name) => (await ifPresent(stat(join(folder, name))))?.size ?? 0),
    );
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  #refPath(revision: string): string {
    return join(this.folder, "refs", ...revision.split("/"));
  }
}

/** The models that have a folder in the cache, by name. */
export async function cachedRepositories(settings: HubSettings): Promise<CachedRepository[]> {
  const names = (await ifPresent(readdir(settings.cacheFolder))) ?? [];
  return names
    .filter((name) => name.startsWith(FOLDER_PREFIX))
    .map((name) => name.slice(FOLDER_PREFIX.length).replace("--", "/"))
    .sort()
    .map((repository) => new CachedRepository(settings, repository));
}

/** An error of the file system in words; any other error as it is. */
export function asCacheError(error: unknown): unknown {
  const { code, syscall, path, dest } = error as NodeJS.ErrnoException & { dest?: string };
  if (code === undefined || syscall === undefined) return error;
  const isFull = NO_ROOM.includes(code);
  return new CheckpointError("checkpoint.write", {
    path: dest ?? path ?? "cache of the Hub",
    expected: isFull ? "there must be room on the disk for the whole file" : "the cache must be readable and writable",
    got: code,
    remedy: isFull
      ? "Free some space and ask again: what is there already is kept. HF_HUB_CACHE names another folder."
      : "Check its permissions, or name another folder in HF_HUB_CACHE.",
    cause: error,
  });
}

async function tryLink(from: string, path: string): Promise<boolean> {
  try {
    await symlink(from, path);
    return true;
  } catch (error) {
    if (["EPERM", "EACCES", "ENOSYS", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

/** What an operation on a file gives; undefined where there is no such file. */
async function ifPresent<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
