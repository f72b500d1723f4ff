/**
 * A stand-in of the Hugging Face Hub on 127.0.0.1: the endpoint, and as another origin the storage of large files, to
 * which the endpoint redirects. It speaks the part of the protocol that golgi and Python's huggingface_hub use.
 */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { HubSettings } from "../../node/hub/settings.ts";

export interface FakeRepository {
  /** Files from this size on are large: they have a sha256, and lie in the storage. */
  readonly largeBytes?: number;
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** Without this token it does not exist. */
  readonly privateTo?: string;
  /** Listed for all, and sent to this token alone. */
  readonly gatedTo?: string;
}

/** A request as it came. */
export interface Seen {
  readonly where: "endpoint" | "storage";
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

/** What an answer has instead of what was asked for. */
export interface Fault {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Sends so many bytes of the body, and then nothing more; `cut` ends it. */
  readonly silentAfter?: number;
  readonly ignoreRange?: boolean;
}

interface StoredFile {
  readonly bytes: Uint8Array;
  readonly oid: string;
  readonly sha256?: string;
}

const LARGE_BYTES = 10_000;

export class FakeHub {
  readonly requests: Seen[] = [];
  /** Asked for each request; undefined answers as it should. */
  fault: (request: Seen) => Fault | undefined = () => undefined;
  /** Entries of a page of the listing. */
  pageSize = 1000;
  readonly #endpoint: Server;
  readonly #storage: Server;
  readonly #repositories = new Map<string, FakeRepository>();
  readonly #stored = new Map<string, Uint8Array>();

  private constructor() {
    this.#endpoint = createServer((request, response) => this.#serve("endpoint", request, response));
    this.#storage = createServer((request, response) => this.#serve("storage", request, response));
  }

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    for (const server of [hub.#endpoint, hub.#storage]) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    }
    return hub;
  }

  get url(): string {
    return addressOf(this.#endpoint);
  }

  /** Puts a repository there, or another version of it; its commit depends on its content. */
  put(name: string, repository: FakeRepository): void {
    this.#repositories.set(name, repository);
  }

  commitOf(name: string): string {
    const { files } = this.#repositories.get(name)!;
    return hashOf("sha1", JSON.stringify(Object.entries(files).map(([path, bytes]) => [path, hashOf("sha1", bytes)])));
  }

  /** Paths below the repository that were asked for, in order. */
  downloads(): string[] {
    return this.requests.flatMap(({ where, path }) =>
      where === "endpoint" ? (/\/resolve\/\w+\/(.*)/.exec(path)?.[1] ?? []) : [],
    );
  }

  /** Cuts all connections to the storage. */
  cut(): void {
    this.#storage.closeAllConnections();
  }

  async close(): Promise<void> {
    for (const server of [this.#endpoint, this.#storage]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  #serve(where: Seen["where"], request: IncomingMessage, response: ServerResponse): void {
    const { method = "", url: path = "", headers } = request;
    const seen: Seen = { where, method, path, authorization: headers.authorization, range: headers.range };
    this.requests.push(seen);
    const answer = where === "storage" ? fileAnswer(this.#stored.get(path.slice(1))) : this.#answer(seen);
    send(seen, answer, this.fault(seen) ?? {}, response);
  }

  #answer({ path, authorization }: Seen): Answer {
    const url = new URL(path, this.url);
    const api = /^\/api\/models\/(.+?)\/(revision|tree)\/(.+)$/.exec(url.pathname);
    const file = /^\/(.+?)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname);
    const [, name = "", first = "", second = ""] = api ?? file ?? [];
    const repository = this.#repositories.get(name);
    const { privateTo, gatedTo } = repository ?? {};
    const isTo = (token: string) => authorization === `Bearer ${token}`;
    if (repository === undefined || (privateTo !== undefined && !isTo(privateTo))) {
      return refusal(authorization === undefined ? 401 : 404, "RepoNotFound");
    }
    const commit = this.commitOf(name);
    const revision = decodeURIComponent(api === null ? first : second);
    if (!["main", "v1", "refs/pr/1", commit, commit.slice(0, 12)].includes(revision)) {
      return refusal(404, "RevisionNotFound");
    }
    if (api !== null) return first === "tree" ? this.#tree(url, repository) : info(name, commit, repository);
    if (gatedTo !== undefined && !isTo(gatedTo)) return refusal(authorization === undefined ? 401 : 403, "GatedRepo");
    return this.#file(storedFile(repository, decodeURIComponent(second)), commit);
  }

  #tree(url: URL, repository: FakeRepository): Answer {
    const entries = Object.keys(repository.files).map((path) => {
      const { bytes, oid, sha256 } = storedFile(repository, path)!;
      const lfs = sha256 === undefined ? undefined : { oid: sha256, size: bytes.length, pointerSize: 130 };
      return { type: "file", path, size: bytes.length, oid, lfs };
    });
    const start = Number(url.searchParams.get("cursor") ?? 0);
    const next = new URL(url);
    next.searchParams.set("cursor", `${start + this.pageSize}`);
    const isLast = start + this.pageSize >= entries.length;
    return json(entries.slice(start, start + this.pageSize), 200, isLast ? {} : { link: `<${next}>; rel="next"` });
  }

  #file(file: StoredFile | undefined, commit: string): Answer {
    const { bytes, oid, sha256 } = file ?? {};
    const headers = { "x-repo-commit": commit };
    if (bytes === undefined || sha256 === undefined) return fileAnswer(bytes, { ...headers, etag: `"${oid}"` });
    this.#stored.set(sha256, bytes);
    const linked = { "x-linked-etag": `"${sha256}"`, "x-linked-size": `${bytes.length}` };
    return { status: 302, headers: { ...headers, ...linked, location: `${addressOf(this.#storage)}/${sha256}` } };
  }
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Of a file parts can be asked for. */
  readonly isFile?: true;
}

/** What Python's huggingface_hub asks for too: HEAD requests are answered without a body. */
function send({ method, range }: Seen, answer: Answer, fault: Fault, response: ServerResponse): void {
  const whole = Buffer.from(fault.body ?? answer.body ?? "");
  const hasRange = answer.isFile && range !== undefined && !fault.ignoreRange && fault.status === undefined;
  const start = hasRange ? Number(/^bytes=(\d+)-$/.exec(range)?.[1]) : 0;
  const isBeyond = start > 0 && start >= whole.length;
  const body = whole.subarray(start);
  if (hasRange) response.setHeader("content-range", `bytes ${start}-${whole.length - 1}/${whole.length}`);
  const status = fault.status ?? (isBeyond ? 416 : hasRange ? 206 : answer.status);
  const headers = { "content-length": `${body.length}`, ...(fault.status === undefined && answer.headers) };
  response.writeHead(status, { ...headers, ...fault.headers });
  if (method === "HEAD") response.end();
  else if (fault.silentAfter === undefined) response.end(body);
  else response.write(body.subarray(0, fault.silentAfter));
}

function info(name: string, commit: string, { privateTo, gatedTo }: FakeRepository): Answer {
  const access = { private: privateTo !== undefined, gated: gatedTo !== undefined };
  return json({
    _id: "1",
    id: name,
    sha: commit,
    ...access,
    downloads: 0,
    likes: 0,
    lastModified: "2026-01-01T00:00:00Z",
  });
}

function fileAnswer(body: Uint8Array | undefined, headers: Readonly<Record<string, string>> = {}): Answer {
  return body === undefined ? refusal(404, "EntryNotFound") : { status: 200, headers, body, isFile: true };
}

function refusal(status: number, code: string): Answer {
  return json({ error: code }, status, { "x-error-code": code });
}

function json(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(value) };
}

function storedFile({ files, largeBytes = LARGE_BYTES }: FakeRepository, path: string): StoredFile | undefined {
  const content = files[path];
  if (content === undefined) return undefined;
  const bytes = Buffer.from(content);
  // As git names a blob; of a large file that is its pointer, whose hash nobody reads.
  const oid = hashOf("sha1", `blob ${bytes.length}\0`, bytes);
  return { bytes, oid, sha256: bytes.length >= largeBytes ? hashOf("sha256", bytes) : undefined };
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function hashOf(algorithm: string, ...pieces: (string | Uint8Array)[]): string {
  const hash = createHash(algorithm);
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}

/** Settings for a stand-in and a cache of a test's own; what fails is tried three times, without much waiting. */
export function settingsOf(hub: FakeHub, cacheFolder: string, settings: Partial<HubSettings> = {}): HubSettings {
  const retry = { nAttempts: 3, delayMs: 1, maxDelayMs: 2000, silenceMs: 5000 };
  return { endpoint: hub.url, cacheFolder, token: undefined, offline: false, symlinks: true, retry, ...settings };
}
