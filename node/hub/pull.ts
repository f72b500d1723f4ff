import { ConfigError, describeConfig, RequestError } from "../../src/index.ts";
import { asCacheError, CachedRepository } from "./cache.ts";
import { HubClient } from "./client.ts";
import { Download } from "./download.ts";
import { findCached, type Pulled, pulled, readJson, withShards } from "./locate.ts";
import { checkRevision, type HubName, hubNameOf } from "./name.ts";
import { type HubFile, listRepository, resolveCommit } from "./repository.ts";
import { type Selection, selectFiles } from "./select.ts";
import { checkToken, type HubSettings, readSettings } from "./settings.ts";

/** How far the download of one file has come; each is announced before the first byte. */
export interface HubProgress {
  readonly file: string;
  /** Those that an earlier download left count too. */
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** For models of the Hub; what is not given here, the environment says as it says to Python's huggingface_hub. */
export interface HubOptions {
  /** A branch, tag or commit; "main" unless given here or in the name. */
  readonly revision?: string;
  /** For private and gated models: HF_TOKEN, or the login of Hugging Face's own tools, unless given. */
  readonly token?: string;
  /** Sends no request, and takes what the cache holds; HF_HUB_OFFLINE=1 says the same. */
  readonly offline?: boolean;
  /** Hears of files that are downloaded; never called for a model that is here. */
  readonly onProgress?: (progress: HubProgress) => void;
  /** Stops the download, which goes on next time where it ended. */
  readonly signal?: AbortSignal;
}

const HUB_OPTIONS: readonly string[] = [
  "revision",
  "token",
  "offline",
  "onProgress",
  "signal",
] satisfies (keyof HubOptions)[];

const N_DOWNLOADS = 3;

/**
 * Brings a model of the Hub into the cache that Python's huggingface_hub uses: `org/name`, `org/name:file.gguf`, or
 * `org/name@revision:file`, where a part of the file's name will do. Only the files that golgi reads.
 */
export async function pull(name: string, options: HubOptions = {}): Promise<Pulled> {
  const unknown = Object.keys(options).find((option) => !HUB_OPTIONS.includes(option));
  if (unknown !== undefined) {
    throw new RequestError("request.option", { path: `pull: ${unknown}`, expected: "the option must be known" });
  }
  const hubName = await hubNameOf(name);
  if (hubName !== undefined) return pullFrom(readSettings(), hubName, options);
  throw new RequestError("request.option", {
    path: `pull: ${name}`,
    expected: "must name a model of the Hub, as org/name",
    got: "the name of a file or folder of this machine",
    remedy: "Write hf: before the name where both have it.",
  });
}

/** Where a model is on this machine, after a download where the name is one of the Hub's. */
export async function localPath(name: string, options: HubOptions): Promise<string> {
  const hubName = await hubNameOf(name);
  if (hubName !== undefined) return (await pullFrom(readSettings(), hubName, options)).path;
  options.signal?.throwIfAborted();
  const idle = (["revision", "token", "offline"] as const).find((option) => options[option] !== undefined);
  if (idle === undefined) return name;
  throw new RequestError("request.option", {
    path: `open: ${idle}`,
    expected: "the option is for models of the Hub",
    got: `the path ${name}`,
    remedy: "Drop it, or write hf: before the name.",
  });
}

export async function pullFrom(settings: HubSettings, name: HubName, options: HubOptions): Promise<Pulled> {
  const { revision = name.revision, token = settings.token, offline = false, onProgress = () => {}, signal } = options;
  if (options.revision !== undefined && name.revision !== "main") {
    throw new RequestError("request.option", {
      path: "open: revision",
      expected: "must be named once",
      got: `${name.revision} and ${options.revision}`,
    });
  }
  const cache = new CachedRepository(settings, name.repository);
  const wanted: HubName = { ...name, revision: checkRevision(revision) };
  try {
    if (offline || settings.offline) return await findCached(cache, wanted);
    const stop = new AbortController();
    const stopped = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
    const client = new HubClient({ ...settings, token: checkToken(token) }, name.repository, stopped);
    return await new Pull(client, cache, stop, onProgress).run(wanted);
  } catch (error) {
    throw asCacheError(error);
  }
}

/** One download of a model's files, several side by side; the first failure stops all. */
class Pull {
  readonly #client: HubClient;
  readonly #cache: CachedRepository;
  readonly #stop: AbortController;
  readonly #onProgress: (progress: HubProgress) => void;

  constructor(
    client: HubClient,
    cache: CachedRepository,
    stop: AbortController,
    onProgress: (progress: HubProgress) => void,
  ) {
    this.#client = client;
    this.#cache = cache;
    this.#stop = stop;
    this.#onProgress = onProgress;
  }

  async run(name: HubName): Promise<Pulled> {
    const commit = await resolveCommit(this.#client, name.revision);
    const files = await listRepository(this.#client, commit);
    const where = `hf:${name.repository}`;
    const selection = selectFiles(name, files, where);
    // What is small comes first: it tells which weights there are, and whether golgi can run them.
    await this.#fetchAll(selection.texts, commit);
    await this.#checkConfig(selection, commit);
    const whole = await withShards(this.#cache, commit, selection, files, where);
    await this.#fetchAll(whole.weights, commit);
    // Last, so that a revision never stands for less than a whole model.
    await this.#cache.writeRef(name.revision, commit);
    return pulled(this.#cache, name, commit, whole);
  }

  async #fetchAll(files: readonly HubFile[], commit: string): Promise<void> {
    const isHere = await Promise.all(files.map((file) => this.#cache.has(commit, file)));
    const missing = files.filter((_, i) => !isHere[i]);
    const partialBytes = await Promise.all(missing.map(({ etag }) => this.#cache.partialBytes(etag)));
    for (const [i, file] of missing.entries()) this.#report(file, partialBytes[i]);
    const queue = missing.values();
    const takeFromQueue = async (): Promise<void> => {
      for (const file of queue) await this.#fetch(file, commit);
    };
    // All have ended before the first failure is told, so that nothing writes on behind a caller's back.
    const ends = Array.from({ length: N_DOWNLOADS }, () => takeFromQueue().catch((error) => this.#stop.abort(error)));
    await Promise.all(ends);
    this.#client.signal.throwIfAborted();
  }

  async #fetch(file: HubFile, commit: string): Promise<void> {
    const { settings, repository } = this.#client;
    const path = file.path.split("/").map(encodeURIComponent).join("/");
    const url = new URL(`${settings.endpoint}/${repository}/resolve/${commit}/${path}`);
    const onBytes = (doneBytes: number): void => this.#report(file, doneBytes);
    const isNew = await new Download(this.#client, this.#cache, url, file, onBytes).run();
    await this.#cache.link(file.etag, commit, file.path, isNew);
    this.#report(file, file.sizeBytes);
  }

  #report({ path, sizeBytes }: HubFile, doneBytes: number): void {
    this.#onProgress({ file: path, doneBytes, totalBytes: sizeBytes });
  }

  /** Refuses a kind of model that golgi cannot run; what an option may mend is left to `open`. */
  async #checkConfig({ texts }: Selection<HubFile>, commit: string): Promise<void> {
    const config = texts.find(({ path }) => path === "config.json");
    if (config === undefined) return;
    try {
      describeConfig(await readJson(this.#cache, commit, config.path), `hf:${this.#client.repository}: config.json`);
    } catch (error) {
      if (error instanceof ConfigError && error.code === "config.unsupported") throw error;
    }
  }
}
