import { readFile } from "node:fs/promises";
import { CheckpointError, ConfigError } from "../../src/index.ts";
import type { CachedRepository } from "./cache.ts";
import type { HubName } from "./name.ts";
import { type ListedFile, type Selection, selectFiles, selectShards } from "./select.ts";

/** A model of the Hub that is in the cache. */
export interface Pulled {
  /** Its folder or its weights file, for `open`. */
  readonly path: string;
  readonly repository: string;
  readonly revision: string;
  readonly commit: string;
  readonly nFiles: number;
  readonly sizeBytes: number;
}

/** A model in the cache, if it is all there, without a request. */
export async function findCached(cache: CachedRepository, name: HubName): Promise<Pulled> {
  const where = `cache of hf:${name.repository}@${name.revision}`;
  const commit = (await cache.readRef(name.revision)) ?? (await findByPrefix(cache, name.revision));
  const files = commit === undefined ? [] : await cache.listSnapshot(commit);
  if (commit === undefined || files.length === 0) {
    throw new CheckpointError("checkpoint.missing", {
      path: where,
      expected: "the model must be there, since no request may be sent",
      got: "nothing of it",
      remedy: "Pull it once without HF_HUB_OFFLINE and without the option offline.",
    });
  }
  return locateCached(cache, name, commit, files);
}

/** As `findCached`, among the files of one commit. */
export async function locateCached(
  cache: CachedRepository,
  name: HubName,
  commit: string,
  files: readonly ListedFile[],
): Promise<Pulled> {
  const where = `cache of hf:${name.repository}@${name.revision}`;
  const selection = await withShards(cache, commit, selectFiles(name, files, where), files, where);
  return pulled(cache, name, commit, selection);
}

/** The selection with the shards that its index names; the index is in the cache. */
export async function withShards<F extends ListedFile>(
  cache: CachedRepository,
  commit: string,
  selection: Selection<F>,
  files: readonly F[],
  where: string,
): Promise<Selection<F>> {
  const { index, weights } = selection;
  if (index === undefined) return selection;
  const shards = selectShards(await readJson(cache, commit, index.path), files, where);
  return { ...selection, weights: [...weights, ...shards] };
}

async function findByPrefix(cache: CachedRepository, revision: string): Promise<string | undefined> {
  const commits = /^[0-9a-f]{7,39}$/.test(revision) ? await cache.snapshots() : [];
  return commits.find((commit) => commit.startsWith(revision));
}

export async function readJson(cache: CachedRepository, commit: string, path: string): Promise<unknown> {
  const text = await readFile(cache.snapshotPath(commit, path), "utf8");
  try {
    return JSON.parse(text);
  } catch (cause) {
    const got = (cause as Error).message;
    throw new ConfigError("config.value", {
      path: `hf:${cache.repository}: ${path}`,
      expected: "must be JSON",
      got,
      cause,
    });
  }
}

export function pulled(
  cache: CachedRepository,
  { repository, revision }: HubName,
  commit: string,
  { texts, weights, opens }: Selection<ListedFile>,
): Pulled {
  const files = [...texts, ...weights];
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  return { path: cache.snapshotPath(commit, opens), repository, revision, commit, nFiles: files.length, sizeBytes };
}
