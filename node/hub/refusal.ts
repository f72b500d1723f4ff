import { CheckpointError } from "../../src/index.ts";
import { PassingError } from "./retry.ts";
import type { HubSettings } from "./settings.ts";

/** What the endpoint's answer means that is no success, and what to do about it. */
export function refusalOf({ status, headers }: Response, settings: HubSettings, repository: string): Error {
  const code = headers.get("x-error-code");
  const got = code === null ? `${status}` : `${status} (${code})`;
  if (status >= 500 || status === 408 || status === 429) {
    return new PassingError(got, { retryAfterMs: readRetryAfter(headers) });
  }
  const hasToken = settings.token !== undefined;
  const page = `${settings.endpoint}/${repository}`;
  const refuse = (kind: "access" | "missing", expected: string, remedy: string): CheckpointError =>
    new CheckpointError(`checkpoint.${kind}`, { path: `hf:${repository}`, expected, got, remedy });
  if (code === "GatedRepo") {
    const token = hasToken ? "use a token of that account that may read it" : "set HF_TOKEN to a token of that account";
    return refuse("access", "its licence must be accepted by your account", `Accept it on ${page}, and ${token}.`);
  }
  if (code === "RevisionNotFound") {
    return refuse("missing", "the revision must be a branch, a tag or a commit of it", `Look it up on ${page}.`);
  }
  if (code === "EntryNotFound") return refuse("missing", "the file must be there", `Look it up on ${page}.`);
  if (hasToken && (status === 401 || status === 403)) {
    return refuse("access", "the access token must be valid and may read it", "Check HF_TOKEN, and the name.");
  }
  // Without a token the Hub says 401 of what does not exist, lest it tells what is private.
  if (status === 401 || status === 403 || status === 404) {
    const needs = hasToken ? "a token that may read it" : "HF_TOKEN";
    const remedy = `Check the name; a private repository needs ${needs}, a local path must exist.`;
    return refuse(status === 404 ? "missing" : "access", "the repository must exist, and be readable", remedy);
  }
  const expected = "the endpoint must answer as the Hub does";
  return new CheckpointError("checkpoint.download", { path: `hf:${repository}`, expected, got });
}

/** Storage refuses with an address that is too old; the endpoint gives out a new one. */
export function staleAddress({ status, headers, url }: Response): PassingError {
  return new PassingError(`${status} of ${new URL(url).host}`, { retryAfterMs: readRetryAfter(headers) });
}

/** Seconds or a date in `Retry-After`, else the seconds to the end of the window in `RateLimit: "api";r=0;t=55`. */
function readRetryAfter(headers: Headers): number | undefined {
  const text = headers.get("retry-after") ?? /;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1];
  if (text === undefined) return undefined;
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(waitMs) ? undefined : Math.max(0, waitMs);
}
