/**
 * Errors by who has to act. Every message reads `<path>: <invariant>; got <values>. <next step>`,
 * so that a user knows which component refused, why, and what to do.
 */

export type ErrorCode =
  | "checkpoint.missing"
  | "checkpoint.truncated"
  | "checkpoint.changed"
  | "checkpoint.header"
  | "checkpoint.tensor"
  | "checkpoint.dtype"
  | "checkpoint.shape"
  | "checkpoint.unused"
  | "checkpoint.tokenizer"
  | "checkpoint.chatTemplate"
  | "checkpoint.write"
  | "checkpoint.access"
  | "checkpoint.download"
  | "config.missing"
  | "config.key"
  | "config.value"
  | "config.unsupported"
  | "tape.shape"
  | "tape.type"
  | "tape.attribute"
  | "tape.structure"
  | "point.unknown"
  | "point.address"
  | "point.edit"
  | "point.absent"
  | "point.positions"
  | "point.tooLarge"
  | "point.firings"
  | "backend.unsupported"
  | "backend.state"
  | "request.option"
  | "request.chat"
  | "request.tokens"
  | "request.context"
  | "request.aborted";

/** What every error says beyond its code: which component, what must hold, what was found, what to do. */
export interface ErrorParts {
  /** Component, file or option, e.g. `blocks.3.mlp.up` or `model.safetensors`. */
  readonly path: string;
  /** The invariant, as a sentence without a full stop. */
  readonly expected: string;
  /** What was found instead. */
  readonly got?: string;
  /** The next step, as a sentence with its full stop. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

/** Base of all errors that golgi raises on purpose; anything else that surfaces is a defect. */
export abstract class GolgiError extends Error {
  readonly code: ErrorCode;
  readonly path: string;

  constructor(code: ErrorCode, parts: ErrorParts) {
    const got = parts.got === undefined ? "" : `; got ${oneLine(parts.got)}`;
    const remedy = parts.remedy === undefined ? "" : ` ${oneLine(parts.remedy)}`;
    super(`${oneLine(parts.path)}: ${parts.expected}${got}.${remedy}`, { cause: parts.cause });
    this.name = new.target.name;
    this.code = code;
    this.path = parts.path;
  }
}

/** What files hold may have megabytes and control characters: 1000 characters of it, on one line. */
function oneLine(text: string): string {
  const cut = text.length <= 1000 ? text : `${text.slice(0, 1000)}...`;
  return cut.replaceAll(/\s*[\p{Cc}\u2028\u2029]+\s*/gu, " ");
}

/** A file of a model is missing, damaged, does not fit the others, or cannot be written: get another file, or mend the disk. */
export class CheckpointError extends GolgiError {}

/** A config.json asks for something that golgi does not understand or support: change the config or the version. */
export class ConfigError extends GolgiError {}

/** An architecture or an op was put together wrongly: mend the code that builds the tape. */
export class TapeError extends GolgiError {}

/** A point does not exist, is absent in this model, or cannot be read or edited as asked: change the read or edit. */
export class PointError extends GolgiError {
  /** For a text that cannot be read: the character, from 0, at which it goes wrong. */
  readonly position: number | undefined;

  constructor(code: ErrorCode, parts: ErrorParts & { readonly position?: number }) {
    super(code, parts);
    this.position = parts.position;
  }
}

/** A backend cannot do what was asked: choose another backend. */
export class BackendError extends GolgiError {}

/** A call's own arguments are wrong (options, tokens, lengths), or it was aborted: change the call. */
export class RequestError extends GolgiError {}

/** The name nearest to `name` among `known`, for "did you mean"; undefined when nothing is close. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** A sentence for an error's remedy: the nearest known name, or the whole list where it is short. */
export function suggest(name: string, known: readonly string[]): string {
  const close = nearest(name, known);
  if (close !== undefined) return `Did you mean ${close}?`;
  if (known.length === 0) return "There is nothing to choose from.";
  const shown = known.slice(0, 12).join(", ");
  return `Known: ${shown}${known.length > 12 ? `, ... (${known.length} in all)` : ""}.`;
}

/** Levenshtein distance, given up as `limit` once it cannot be smaller. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? limit) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min((previous[j] ?? limit) + 1, (current[j - 1] ?? limit) + 1, substitution));
    }
    if (Math.min(...current) >= limit) return limit;
    previous = current;
  }
  return previous[b.length] ?? limit;
}
