import { CheckpointError } from "../../src/index.ts";
import type { HubClient } from "./client.ts";

/** A file of a repository, as its listing describes it. */
export interface HubFile {
  /** Below the repository's root, with slashes. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Its name among the cache's blobs: the sha256 of a large file, the hash that git gives to a small one. */
  readonly etag: string;
}

const COMMIT = /^[0-9a-f]{40}$/;
/** No control characters, which messages would carry into a terminal. */
const PATH = /^\P{Cc}+$/u;
const ETAG = /^([0-9a-f]{40}|[0-9a-f]{64})$/;

export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

/** The commit that a branch, a tag or the beginning of a commit stands for. */
export async function resolveCommit(client: HubClient, revision: string): Promise<string> {
  if (isCommit(revision)) return revision;
  const { modelInfo } = await import("@huggingface/hub");
  const { repository: name, fetch } = client;
  const hubUrl = client.settings.endpoint;
  const info = await readAnswer(client, () => modelInfo({ name, revision, hubUrl, fetch, additionalFields: ["sha"] }));
  if (!isCommit(info.sha)) throw malformed(client, `the commit ${JSON.stringify(info.sha)}`);
  return info.sha;
}

/** All files of a commit. */
export async function listRepository(client: HubClient, commit: string): Promise<HubFile[]> {
  const { listFiles } = await import("@huggingface/hub");
  const { repository: name, fetch } = client;
  const hubUrl = client.settings.endpoint;
  const repo = { type: "model", name } as const;
  const entries = await readAnswer(client, () =>
    Array.fromAsync(listFiles({ repo, revision: commit, recursive: true, hubUrl, fetch })),
  );
  return entries
    .filter(({ type }) => type === "file")
    .map(({ path, size: sizeBytes, oid, lfs }) => {
      const etag = lfs?.oid ?? oid ?? "";
      const isValid = PATH.test(path) && Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 && ETAG.test(etag);
      if (!isValid) throw malformed(client, `a file ${JSON.stringify({ path, sizeBytes, etag })}`);
      return { path, sizeBytes, etag };
    });
}

/** What the Hub's library makes of an answer; what it cannot read is the answer's fault. */
async function readAnswer<T>(client: HubClient, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    client.signal.throwIfAborted();
    if (error instanceof CheckpointError) throw error;
    throw malformed(client, `${error}`, error);
  }
}

function malformed(client: HubClient, got: string, cause?: unknown): CheckpointError {
  return client.failure("the endpoint must answer as the Hub does", got, "Check HF_ENDPOINT.", cause);
}
