import { CheckpointError } from "../errors.ts";

/** Whether `value` is a JSON object, neither an array nor null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value of a file that nobody vouches for, made fit for a message: as JSON, cut at 80 characters. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value, shortened) ?? "nothing";
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

/** Its beginning, since all of a long one as JSON could become longer than a string can be. */
function shortened(_key: string, value: unknown): unknown {
  if (typeof value === "string") return value.slice(0, 80);
  if (typeof value === "bigint") return Number(value);
  if (ArrayBuffer.isView(value)) return [...(value as Uint8Array).subarray(0, 40)];
  return Array.isArray(value) ? value.slice(0, 40) : value;
}

/** A tokenizer's file that golgi cannot use. */
export function unusable(path: string, expected: string, got: string, remedy?: string, cause?: unknown) {
  return new CheckpointError("checkpoint.tokenizer", { path, expected, got, remedy, cause });
}
