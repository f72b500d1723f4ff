import { CheckpointError } from "../../src/index.ts";
import { refusalOf, staleAddress } from "./refusal.ts";
import { PassingError, retrying } from "./retry.ts";
import type { HubSettings } from "./settings.ts";

const MAX_REDIRECTS = 10;
const REDIRECTS = [301, 302, 303, 307, 308];

type Chunks = AsyncGenerator<Uint8Array, void>;

/**
 * Requests about one repository. The token goes to the endpoint's own origin alone, wherever redirects and links lead;
 * a connection that falls silent counts as cut; a refusal is an error that says what to do.
 */
export class HubClient {
  readonly settings: HubSettings;
  readonly repository: string;
  readonly signal: AbortSignal;

  constructor(settings: HubSettings, repository: string, signal: AbortSignal) {
    this.settings = settings;
    this.repository = repository;
    this.signal = signal;
  }

  /** A `fetch` for short answers, which are read whole and asked for again where they are cut. */
  readonly fetch: typeof fetch = async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input);
    return this.retrying(() =>
      this.request(url, init, async (response, chunks) => {
        const body = Buffer.concat(await Array.fromAsync(chunks));
        return new Response(body, { status: response.status, headers: response.headers });
      }),
    );
  };

  /** Repeats what fails in passing; what does not pass is an error. */
  async retrying<T>(attempt: () => Promise<T>, progress?: () => number): Promise<T> {
    try {
      return await retrying(this.settings.retry, this.signal, attempt, progress);
    } catch (error) {
      if (!(error instanceof PassingError)) throw error;
      const remedy = "Try again: what has come is kept. HF_HUB_OFFLINE=1 takes what the cache holds.";
      throw this.failure("the Hub must send what is asked for", error.message, remedy, error);
    }
  }

  /** One request; the connection ends with `use`, which may leave chunks unread. */
  async request<T>(url: URL, init: RequestInit, use: (response: Response, chunks: Chunks) => Promise<T>): Promise<T> {
    const connection = new AbortController();
    const silence = setTimeout(() => connection.abort(), this.settings.retry.silenceMs);
    try {
      const response = await this.#follow(url, init, AbortSignal.any([this.signal, connection.signal]));
      const chunks = readChunks(response, () => silence.refresh());
      if (response.ok) return await use(response, chunks);
      const isStale = !this.#isOwn(new URL(response.url));
      throw isStale ? staleAddress(response) : refusalOf(response, this.settings, this.repository);
    } catch (error) {
      throw connection.signal.aborted ? new PassingError("no answer for too long", { cause: error }) : error;
    } finally {
      clearTimeout(silence);
      connection.abort();
    }
  }

  failure(expected: string, got: string, remedy: string, cause?: unknown): CheckpointError {
    return new CheckpointError("checkpoint.download", { path: `hf:${this.repository}`, expected, got, remedy, cause });
  }

  async #follow(url: URL, init: RequestInit, signal: AbortSignal): Promise<Response> {
    for (let [at, nRedirects] = [url, 0]; nRedirects <= MAX_REDIRECTS; nRedirects++) {
      const headers = new Headers(init.headers);
      const { token } = this.settings;
      if (token !== undefined && this.#isOwn(at)) headers.set("authorization", `Bearer ${token}`);
      const response = await fetch(at, { ...init, headers, signal, redirect: "manual" }).catch((cause) => {
        throw new PassingError(`${describeCause(cause)} at ${at.host}`, { cause });
      });
      const location = response.headers.get("location");
      if (!REDIRECTS.includes(response.status) || location === null) return response;
      await response.body?.cancel();
      const next = URL.parse(location, at.href);
      if (next === null) throw new PassingError(`a redirect of ${at.host} that leads nowhere`);
      at = next;
    }
    throw new PassingError(`more than ${MAX_REDIRECTS} redirects`);
  }

  #isOwn(url: URL): boolean {
    return url.origin === new URL(this.settings.endpoint).origin;
  }
}

async function* readChunks(response: Response, onChunk: () => void): Chunks {
  if (response.body === null) return;
  try {
    for await (const chunk of response.body) {
      onChunk();
      yield chunk;
    }
  } catch (cause) {
    throw new PassingError(`a connection that was cut (${describeCause(cause)})`, { cause });
  }
}

function describeCause(error: unknown): string {
  const { code, message } = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
  return typeof code === "string" ? code : message;
}
