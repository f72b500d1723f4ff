import { stat } from "node:fs/promises";
import { RequestError } from "../../src/index.ts";

/** What `hf:org/name@revision:file` says. */
export interface HubName {
  readonly repository: string;
  /** A branch, tag or commit; "main" where none is named. */
  readonly revision: string;
  /** A weights file, or as much of its name as tells it from the others. */
  readonly file?: string;
}

const PREFIX = "hf:";

const NAME = /^((?:\w[\w.-]*\/)?\w[\w.-]*)(?:@([^@:]*))?(?::(.*))?$/s;
const REVISION = /^[\w+=~.-]+(\/[\w+=~.-]+)*$/;
const MODEL_FILE = /^[^:]*\.(gguf|safetensors|json)$/i;

/**
 * The model on the Hub that a path names; undefined where it is one of this machine. What exists here goes first, unless
 * `hf:` stands before the name.
 */
export async function hubNameOf(path: string): Promise<HubName | undefined> {
  if (path.startsWith(PREFIX)) return parseHubName(path);
  const looksLikeHub = NAME.test(path) && /^[^@:]*\//.test(path) && !MODEL_FILE.test(path);
  if (!looksLikeHub || (await exists(path))) return undefined;
  return parseHubName(path);
}

function parseHubName(path: string): HubName {
  const [, repository, revision = "main", file] = NAME.exec(path.replace(PREFIX, "")) ?? [];
  const isName = repository !== undefined && !/--|\.\./.test(repository) && file !== "";
  if (!isName) {
    throw refuse(path, "a model of the Hub is named org/name, org/name:file or org/name@revision:file", path);
  }
  return { repository, revision: checkRevision(revision), file };
}

/** A revision names a file of the cache too, which must not lie elsewhere. */
export function checkRevision(revision: string): string {
  if (REVISION.test(revision) && !revision.split("/").some((part) => /^\.+$/.test(part))) return revision;
  throw refuse("revision", "a revision must be a branch, a tag or a commit", JSON.stringify(revision));
}

function refuse(path: string, expected: string, got: string): RequestError {
  return new RequestError("request.option", { path: `open: ${path}`, expected, got });
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
