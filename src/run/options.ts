import { RequestError, suggest } from "../errors.ts";
import type { ReadSpec } from "../points/read-spec.ts";

export const LOGIT_ROWS = ["all", "last", "none"] as const;

/** Which rows' logits a step gives: all, each sequence's last, or none. */
export type LogitRows = (typeof LOGIT_ROWS)[number];

/** What a run of tokens takes. */
export interface RunOptions {
  /** Points to read: names in golgi's or another tool's spelling, globs, positions (`blocks.*.mlp.post@-1`). */
  readonly read?: readonly ReadSpec[];
  /** Which rows' logits to give; all unless asked otherwise. */
  readonly logits?: LogitRows;
  readonly signal?: AbortSignal;
}

/** Refuses options that a call does not know, so that none is ignored. */
export function checkOptions(call: string, options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const remedy = suggest(unknown, known);
  throw new RequestError("request.option", {
    path: `${call}: ${unknown}`,
    expected: "the option must be known",
    remedy,
  });
}

/** Refuses a value that is none of those that an option may have. */
export function checkChoice(path: string, value: unknown, choices: readonly string[]): void {
  if (choices.some((choice) => choice === value)) return;
  const expected = `must be ${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;
  throw new RequestError("request.option", { path, expected, got: JSON.stringify(value) });
}

/** What a run takes, with defaults filled in. */
export function checkRunOptions(call: string, options: RunOptions) {
  checkOptions(call, options, ["read", "logits", "signal"]);
  const { read = [], logits = "all", signal } = options;
  checkChoice(`${call}: logits`, logits, LOGIT_ROWS);
  if (!Array.isArray(read)) {
    const path = `${call}: read`;
    throw new RequestError("request.option", { path, expected: "must be a list of points", got: JSON.stringify(read) });
  }
  return { read, logits, signal };
}
