import { CheckpointError, RequestError } from "../errors.ts";
import type { Source } from "../host.ts";
import type { Format } from "../tensor/format.ts";
import { formatShape } from "../tensor/shape.ts";

/** Where a tensor's bytes lie: dense, row-major, little-endian, `sizeBytes` of them from `offset` of `file`. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: Format;
  readonly shape: readonly number[];
  /** The file's plain name within its folder, or its own name where it was opened alone. */
  readonly file: string;
  /** From the start of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** Whose names the tensors have, and in which order their rows lie. */
export type CheckpointFormat = "safetensors" | "gguf";

/** The named tensors of a model on disk; their bytes are read when asked for, and not kept. */
export interface Checkpoint {
  /** The folder or file, for messages. */
  readonly name: string;
  readonly format: CheckpointFormat;
  /** In the order of the files, and in each file of the bytes. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Free text of the files' authors; where shards differ, the first shard's value stands. */
  readonly metadata: Readonly<Record<string, string>>;
  /** All bytes of a tensor, as memory that the caller owns. */
  read(tensor: StoredTensor): Promise<Uint8Array<ArrayBuffer>>;
  /** The bytes of rows `fromRow` to `fromRow + nRows - 1` of the first axis; a scalar has no rows. */
  readRows(tensor: StoredTensor, fromRow: number, nRows: number): Promise<Uint8Array<ArrayBuffer>>;
  /** The file of this machine that holds a tensor's bytes, for backends that map it; undefined where there is none. */
  filePath(tensor: StoredTensor): string | undefined;
  /** Throws a CheckpointError where one of the files is not what it was when it was opened. */
  checkUnchanged(): void;
  close(): Promise<void>;
}

/** A file of a checkpoint with its parsed table of contents. */
export interface CheckpointFile {
  /** The `file` of its tensors. */
  readonly file: string;
  readonly source: Source;
  readonly tensors: readonly StoredTensor[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** The checkpoint that these files make together; it owns their sources. Their tensors have distinct names. */
export function checkpointOf(name: string, format: CheckpointFormat, files: readonly CheckpointFile[]): Checkpoint {
  const sources = new Map(files.map(({ file, source }) => [file, source]));
  const read = (tensor: StoredTensor, offset: number, sizeBytes: number) => {
    const source = sources.get(tensor.file);
    if (source !== undefined) return source.read(tensor.offset + offset, sizeBytes);
    throw new CheckpointError("checkpoint.missing", {
      path: tensorPath(name, tensor.name),
      expected: "a tensor must be read through the checkpoint that lists it",
      got: `a tensor of ${quote(tensor.file)}`,
      remedy: "Take it from this checkpoint's `tensors`.",
    });
  };
  return {
    name,
    format,
    tensors: new Map(files.flatMap(({ tensors }) => tensors).map((tensor) => [tensor.name, tensor])),
    metadata: mergeMetadata(files),
    read: async (tensor) => read(tensor, 0, tensor.sizeBytes),
    readRows: async (tensor, fromRow, nRows) => {
      const rowBytes = rowSizeBytes(name, tensor, fromRow, nRows);
      return read(tensor, fromRow * rowBytes, nRows * rowBytes);
    },
    filePath: ({ file }) => sources.get(file)?.filePath,
    checkUnchanged: () => {
      for (const source of sources.values()) source.checkUnchanged?.();
    },
    close: () => closeAll(sources.values()),
  };
}

/** Closes every source, also where closing one of them fails; then rejects with the first failure. */
export async function closeAll(sources: Iterable<Source>): Promise<void> {
  const results = await Promise.allSettled(Array.from(sources, (source) => source.close()));
  const failure = results.find((result) => result.status === "rejected");
  if (failure !== undefined) throw failure.reason;
}

/** `model.safetensors, tensor "wte.weight"`: the path of an error about one tensor. */
export function tensorPath(file: string, name: string): string {
  return `${file}, tensor ${quote(name)}`;
}

/** A value of a damaged or hostile file, made fit for a message: control characters escaped, cut at 80 characters. */
export function quote(value: unknown): string {
  const text = spell(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

function spell(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `[${value.slice(0, 40).map(spell).join(", ")}]`;
  if (typeof value === "object" && value !== null) return "an object";
  // Cut first: control characters take six each, and the longest names would become longer than a string can be.
  return typeof value === "string" ? JSON.stringify(value.slice(0, 80)) : `${value}`;
}

function rowSizeBytes(checkpoint: string, tensor: StoredTensor, fromRow: number, nRows: number): number {
  const nStored = tensor.shape[0];
  const isCount = (n: number) => Number.isSafeInteger(n) && n >= 0;
  if (nStored === undefined || !isCount(fromRow) || !isCount(nRows) || fromRow + nRows > nStored) {
    throw new RequestError("request.option", {
      path: tensorPath(checkpoint, tensor.name),
      expected: `rows must lie inside the first axis of ${formatShape(tensor.shape)}`,
      got: `${nRows} rows from row ${fromRow}`,
      remedy: nStored === undefined ? "A scalar has no rows: read all of it." : `Rows are 0 to ${nStored - 1}.`,
    });
  }
  return nStored === 0 ? 0 : tensor.sizeBytes / nStored;
}

function mergeMetadata(files: readonly CheckpointFile[]): Record<string, string> {
  const merged: Record<string, string> = Object.create(null);
  for (const { metadata } of files) {
    for (const [key, value] of Object.entries(metadata)) merged[key] ??= value;
  }
  return merged;
}
