import { CheckpointError } from "../errors.ts";

/** Whether `value` is a JSON object, neither an array nor null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value of a file that nobody vouches for, made fit for a message: as JSON, cut at 80 characters. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

/** A tokenizer's file that golgi cannot use. */
export function unusable(path: string, expected: string, got: string, remedy?: string, cause?: unknown) {
  return new CheckpointError("checkpoint.tokenizer", { path, expected, got, remedy, cause });
}
