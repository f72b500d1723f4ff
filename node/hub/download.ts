import { rename, rm, stat } from "node:fs/promises";
import type { CachedRepository } from "./cache.ts";
import type { HubClient } from "./client.ts";
import { withLock } from "./lock.ts";
import { PartialFile } from "./partial-file.ts";
import type { HubFile } from "./repository.ts";
import { PassingError } from "./retry.ts";

/** Brings one file into the cache's blobs, going on where an earlier download ended, and checks its hash. */
export class Download {
  readonly #client: HubClient;
  readonly #cache: CachedRepository;
  readonly #url: URL;
  readonly #file: HubFile;
  readonly #onBytes: (doneBytes: number) => void;

  /** `onBytes` hears how much is there. */
  constructor(
    client: HubClient,
    cache: CachedRepository,
    url: URL,
    file: HubFile,
    onBytes: (doneBytes: number) => void,
  ) {
    this.#client = client;
    this.#cache = cache;
    this.#url = url;
    this.#file = file;
    this.#onBytes = onBytes;
  }

  /** Gives whether the blob is new: it may be there, or another process may bring it meanwhile. */
  async run(): Promise<boolean> {
    const { etag } = this.#file;
    await this.#cache.prepare(etag);
    if (await this.#isThere()) return false;
    const onWait = async () => this.#onBytes(await this.#cache.partialBytes(etag));
    return withLock(this.#cache.lockPath(etag), this.#client.signal, onWait, async () => {
      if (await this.#isThere()) return false;
      const path = this.#cache.partialPath(etag);
      await this.#fill(path);
      await rename(path, this.#cache.blobPath(etag));
      return true;
    });
  }

  async #isThere(): Promise<boolean> {
    const sizeBytes = await stat(this.#cache.blobPath(this.#file.etag)).then(
      ({ size }) => size,
      () => undefined,
    );
    return sizeBytes === this.#file.sizeBytes;
  }

  async #fill(path: string): Promise<void> {
    const { etag, sizeBytes } = this.#file;
    const partial = await PartialFile.open(path, this.#file, this.#client.signal);
    try {
      this.#onBytes(partial.sizeBytes);
      const receive = () => this.#receiveRest(partial);
      if (partial.sizeBytes < sizeBytes) await this.#client.retrying(receive, () => partial.sizeBytes);
      await partial.sync();
    } finally {
      await partial.close();
    }
    const digest = partial.digest();
    if (digest === etag) return;
    await rm(path);
    throw this.#client.failure(
      `${this.#file.path} must have the hash ${etag}`,
      `${digest}, which is deleted`,
      "Ask for it again.",
    );
  }

  /** One request for what is missing; what comes is kept, however it ends. */
  #receiveRest(partial: PartialFile): Promise<void> {
    const { path, sizeBytes } = this.#file;
    // The bytes themselves are counted and hashed, not an encoding of them.
    const asked: Record<string, string> = { "accept-encoding": "identity" };
    if (partial.sizeBytes > 0) asked.range = `bytes=${partial.sizeBytes}-`;
    return this.#client.request(this.#url, { headers: asked }, async ({ status, headers }, chunks) => {
      const range = headers.get("content-range") ?? "";
      const startsAt = status === 206 ? Number(/^bytes (\d+)-/.exec(range)?.[1]) : 0;
      if (startsAt === 0) partial.rewind();
      if (startsAt !== partial.sizeBytes) throw new PassingError(`bytes of another place (${range})`);
      for await (const chunk of chunks) {
        if (partial.sizeBytes + chunk.length > sizeBytes) {
          await partial.empty();
          const expected = `${path} must be as long as the listing says`;
          throw this.#client.failure(expected, `more than its ${sizeBytes} bytes`, "Ask for it again.");
        }
        await partial.append(chunk);
        this.#onBytes(partial.sizeBytes);
      }
      if (partial.sizeBytes < sizeBytes) {
        throw new PassingError(`${partial.sizeBytes} of the ${sizeBytes} bytes of ${path}`);
      }
    });
  }
}
