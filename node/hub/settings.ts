import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { RequestError } from "../../src/index.ts";

/** How often, and after what time, a request that failed is sent again. */
export interface RetryPolicy {
  /** Failures in a row, without a byte between them, after which it is given up. */
  readonly nAttempts: number;
  /** Before the second attempt; doubled before each further one. */
  readonly delayMs: number;
  /** A server that asks for more is not waited for. */
  readonly maxDelayMs: number;
  /** Silence after which a connection counts as cut. */
  readonly silenceMs: number;
}

export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly cacheFolder: string;
  readonly token: string | undefined;
  /** No request is sent at all. */
  readonly offline: boolean;
  /** Snapshots link to blobs; where this is false, or the platform forbids links, they hold the files themselves. */
  readonly symlinks: boolean;
  readonly retry: RetryPolicy;
}

const RETRY: RetryPolicy = { nAttempts: 5, delayMs: 500, maxDelayMs: 120_000, silenceMs: 30_000 };

type Environment = Readonly<Record<string, string | undefined>>;

/** The variables that Python's huggingface_hub reads, with its defaults, so that both share one cache and one login. */
export function readSettings(env: Environment = process.env): HubSettings {
  const path = (text: string): string => expand(text, env);
  const home = path(env.HF_HOME || join(env.XDG_CACHE_HOME || "~/.cache", "huggingface"));
  return {
    endpoint: checkEndpoint((env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "")),
    cacheFolder: path(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home, "hub")),
    token: checkToken(
      env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN || readToken(path(env.HF_TOKEN_PATH || join(home, "token"))),
    ),
    offline: isTrue(env.HF_HUB_OFFLINE),
    symlinks: !isTrue(env.HF_HUB_DISABLE_SYMLINKS),
    retry: RETRY,
  };
}

/** A token as a header may carry it; undefined for an empty one. Its text stays out of the message. */
export function checkToken(token: string | undefined): string | undefined {
  const text = token?.trim();
  if (!text) return undefined;
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  throw new RequestError("request.option", {
    path: "HF_TOKEN",
    expected: "an access token must be one word of ASCII characters",
    remedy: "Copy it again from the settings page of your account.",
  });
}

function checkEndpoint(endpoint: string): string {
  if (/^https?:$/.test(URL.parse(endpoint)?.protocol ?? "")) return endpoint;
  throw new RequestError("request.option", { path: "HF_ENDPOINT", expected: "must be a web address", got: endpoint });
}

function readToken(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new RequestError("request.option", {
      path,
      expected: "the file of the access token must be readable",
      got: (error as NodeJS.ErrnoException).code,
      remedy: "Mend its permissions, or set HF_TOKEN.",
    });
  }
}

function isTrue(text: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(text ?? "");
}

/** A path with `~`, `$NAME` and `${NAME}` as a shell reads them. */
function expand(path: string, env: Environment): string {
  const home = path.replace(/^~(?=$|[/\\])/, env.HOME || homedir());
  return home.replaceAll(/\$(?:(\w+)|\{(\w+)\})/g, (text, name, braced) => env[name ?? braced] ?? text);
}
