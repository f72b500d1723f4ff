import { RequestError, suggest } from "../errors.ts";
import type { EditSpec } from "../glass/edit-spec.ts";
import type { ReadSpec } from "../points/read-spec.ts";

export const LOGIT_ROWS = ["all", "last", "none"] as const;

/** Which rows' logits a step gives: all, each sequence's last, or none. */
export type LogitRows = (typeof LOGIT_ROWS)[number];

/** What further tokens of a session take. */
export interface AppendOptions {
  /** Points to read: names in golgi's or another tool's spelling, globs, positions (`blocks.*.mlp.post@-1`). */
  readonly read?: readonly ReadSpec[];
  /** Which rows' logits to give; all unless asked otherwise. */
  readonly logits?: LogitRows;
  readonly signal?: AbortSignal;
}

/** What a run of whole texts takes. */
export interface RunOptions extends AppendOptions {
  /** Changes of values while it runs, applied in their order; of a batch one list for all, or a list for each sequence. */
  readonly edits?: readonly EditSpec[] | readonly (readonly EditSpec[])[];
  /** Position from which tokens count as generated, for edits at "prompt" or "generated"; none where undefined. */
  readonly generatedFrom?: number;
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

/** What appending takes, with defaults filled in. */
export function checkAppendOptions(call: string, options: AppendOptions) {
  checkOptions(call, options, ["read", "logits", "signal"]);
  const { read = [], logits = "all", signal } = options;
  checkChoice(`${call}: logits`, logits, LOGIT_ROWS);
  checkList(`${call}: read`, read, "points");
  return { read, logits, signal };
}

/** What a run takes, with defaults filled in. */
export function checkRunOptions(call: string, { edits = [], generatedFrom, ...options }: RunOptions) {
  checkList(`${call}: edits`, edits, "edits");
  if (generatedFrom !== undefined && !(Number.isInteger(generatedFrom) && generatedFrom >= 0)) {
    const path = `${call}: generatedFrom`;
    throw new RequestError("request.option", { path, expected: "must be a position", got: `${generatedFrom}` });
  }
  const from = generatedFrom ?? Number.POSITIVE_INFINITY;
  return { ...checkAppendOptions(call, options), edits, generatedFrom: from };
}

/** Refuses anything but a list. */
export function checkList(path: string, value: unknown, of: string): void {
  if (Array.isArray(value)) return;
  throw new RequestError("request.option", { path, expected: `must be a list of ${of}`, got: JSON.stringify(value) });
}
