/**
 * The GGUF format, versions 2 and 3 (github.com/ggml-org/ggml, docs/gguf.md): magic, version, the numbers of tensors
 * and of metadata; the metadata; for each tensor name, sizes (innermost first), type and offset from where the data
 * begin; then, aligned, the tensors' bytes. What cannot be true, or ggml's own reader would not take, is refused.
 */
import { CheckpointError, type ErrorCode } from "../errors.ts";
import type { Source } from "../host.ts";
import { blockOf, type Format, tensorSizeBytes } from "../tensor/format.ts";
import { formatShape } from "../tensor/shape.ts";
import { type CheckpointFile, quote, type StoredTensor, tensorPath } from "./checkpoint.ts";
import { type HeaderBytes, parseHeader } from "./gguf-bytes.ts";
import { formatOfType } from "./gguf-types.ts";
import { type GgufMetadata, type GgufValue, readValue } from "./gguf-values.ts";
import { DAMAGED } from "./json.ts";

export const MAGIC = "GGUF";
/** The version that is written; 2 differs in that all its files are little-endian. */
export const VERSION = 3;
export const ALIGNMENT_KEY = "general.alignment";
export const DEFAULT_ALIGNMENT = 32;
/** The most sizes of a tensor that ggml knows. */
export const MAX_AXES = 4;
/** ggml keeps names in 64 bytes, the last of them 0. */
export const MAX_NAME_BYTES = 63;

/** Bytes of the shortest entries: a key of one letter with a bool, and a tensor without a name and sizes. */
const LEAST_VALUE_BYTES = 8 + 1 + 4 + 1;
const LEAST_TENSOR_BYTES = 8 + 4 + 4 + 8;

/** The most tensors, and keys of the metadata; models have some thousands, and some dozens. */
export const MAX_ENTRIES = 2 ** 16;

export interface GgufFile extends CheckpointFile {
  readonly values: GgufMetadata;
}

/** Reads what precedes the tensors' bytes, and checks it against the file's size; no weight is read. */
export async function readGgufHeader(file: string, source: Source): Promise<GgufFile> {
  const { values, entries, dataOffset } = await parseHeader(source, readEntries);
  const tensors = entries.map((entry) => placed(source, file, entry, dataOffset)).sort(byOffset);
  checkApart(source.name, tensors);
  return { file, source, tensors, metadata: textsOf(values), values };
}

function readEntries(bytes: HeaderBytes) {
  checkVersion(bytes);
  const nTensors = bytes.count(LEAST_TENSOR_BYTES, "the list of tensors", MAX_ENTRIES);
  const nValues = bytes.count(LEAST_VALUE_BYTES, "the metadata", MAX_ENTRIES);
  const values = readMetadata(bytes, nValues);
  const alignment = readAlignment(bytes.path, values.get(ALIGNMENT_KEY));
  const entries = bytes.list(nTensors, "the list of tensors", () => readTensorEntry(bytes, alignment));
  checkNames(bytes.path, entries);
  return { values, entries, dataOffset: Math.ceil(bytes.offset / alignment) * alignment };
}

function checkVersion(bytes: HeaderBytes): void {
  const refuse = (expected: string, got: string, remedy: string) =>
    new CheckpointError("checkpoint.header", { path: bytes.path, expected, got, remedy });
  const magic = String.fromCharCode(...bytes.take(MAGIC.length, "the magic"));
  if (magic !== MAGIC) {
    const remedy = "Is it a GGUF file? A Git LFS pointer or a web page saved under its name reads like this.";
    throw refuse(`a GGUF file must begin with ${MAGIC}`, quote(magic), remedy);
  }
  const version = bytes.u32("the version");
  if (version === 2 || version === VERSION) return;
  // The two halves are exchanged where the file is of the other byte order.
  const isBigEndian = version !== 0 && (version & 0xffff) === 0;
  const expected = `the version must be 2 or ${VERSION}, little-endian`;
  throw refuse(expected, isBigEndian ? "a big-endian file" : `${version}`, "Convert the model again.");
}

function readMetadata(bytes: HeaderBytes, nValues: number): GgufMetadata {
  const values = new Map<string, GgufValue>();
  for (let i = 0; i < nValues; i++) {
    const key = bytes.string("a key of the metadata");
    if (key === "" || values.has(key)) {
      throw new CheckpointError("checkpoint.header", {
        path: bytes.path,
        expected: "every key of the metadata must be there once, and not empty",
        got: key === "" ? quote(key) : `${quote(key)} twice`,
        remedy: DAMAGED,
      });
    }
    values.set(key, readValue(bytes, quote(key)));
  }
  return values;
}

function readAlignment(path: string, entry: GgufValue | undefined): number {
  if (entry === undefined) return DEFAULT_ALIGNMENT;
  if (isAlignment(entry)) return entry.value;
  throw new CheckpointError("checkpoint.header", {
    path: `${path}: ${ALIGNMENT_KEY}`,
    expected: "the alignment must be a power of two from 8 up, in u32",
    got: `${quote(entry.value)} in ${entry.type}`,
    remedy: DAMAGED,
  });
}

/** A power of two from 8 up, as u32. */
export function isAlignment(entry: GgufValue): entry is GgufValue & { readonly value: number } {
  const { type, value } = entry;
  return type === "u32" && typeof value === "number" && value >= 8 && Number.isInteger(Math.log2(value));
}

interface TensorEntry {
  readonly name: string;
  readonly dtype: Format;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  /** From where the data begin. */
  readonly offset: number;
}

function readTensorEntry(bytes: HeaderBytes, alignment: number): TensorEntry {
  const name = bytes.string("a tensor's name", MAX_NAME_BYTES);
  const path = tensorPath(bytes.path, name);
  const refuse = (code: ErrorCode, expected: string, got: string, remedy = DAMAGED) =>
    new CheckpointError(code, { path, expected, got, remedy });

  const nAxes = bytes.u32(path);
  if (nAxes > MAX_AXES) throw refuse("checkpoint.shape", `a tensor has at most ${MAX_AXES} sizes`, `${nAxes}`);
  const shape = bytes.list(nAxes, path, () => bytes.u64(path)).reverse();
  const typeId = bytes.u32(path);
  const offset = bytes.u64(path);

  const dtype = formatOfType(typeId);
  if (dtype === undefined) {
    const remedy = "The file is damaged, or of a newer type than this version knows.";
    throw refuse("checkpoint.dtype", "the type must be one of ggml's", `${typeId}`, remedy);
  }
  const { nElements } = blockOf(dtype);
  if ((shape.at(-1) ?? 1) % nElements !== 0) {
    const expected = `rows of ${dtype.toUpperCase()} must be whole blocks of ${nElements}`;
    throw refuse("checkpoint.shape", expected, formatShape(shape));
  }
  const sizeBytes = tensorSizeBytes(shape, dtype);
  if (sizeBytes === undefined) {
    throw refuse("checkpoint.shape", "a tensor's size must stay below 2^53 bytes", `${dtype} ${formatShape(shape)}`);
  }
  if (offset % alignment !== 0) {
    throw refuse("checkpoint.tensor", `a tensor must begin at a multiple of ${alignment}`, `${offset}`);
  }
  return { name, dtype, shape, sizeBytes, offset };
}

function checkNames(path: string, entries: readonly TensorEntry[]): void {
  const seen = new Set<string>();
  for (const { name } of entries) {
    if (seen.has(name)) {
      throw new CheckpointError("checkpoint.tensor", {
        path: tensorPath(path, name),
        expected: "every tensor must be there once",
        got: "it twice",
        remedy: DAMAGED,
      });
    }
    seen.add(name);
  }
}

function placed(source: Source, file: string, entry: TensorEntry, dataOffset: number): StoredTensor {
  const offset = dataOffset + entry.offset;
  if (offset + entry.sizeBytes <= source.sizeBytes) return { ...entry, file, offset };
  throw new CheckpointError("checkpoint.truncated", {
    path: tensorPath(source.name, entry.name),
    expected: "the tensor must end inside the file",
    got: `${entry.sizeBytes} bytes from byte ${offset} on in a file of ${source.sizeBytes}`,
    remedy: DAMAGED,
  });
}

const byOffset = (a: StoredTensor, b: StoredTensor) => a.offset - b.offset || a.sizeBytes - b.sizeBytes;

/** Between tensors there may be padding. `tensors` are sorted by where they begin. */
function checkApart(path: string, tensors: readonly StoredTensor[]): void {
  for (const [i, { name, offset }] of tensors.entries()) {
    const previous = tensors[i - 1];
    if (previous === undefined || previous.offset + previous.sizeBytes <= offset) continue;
    throw new CheckpointError("checkpoint.tensor", {
      path: tensorPath(path, name),
      expected: "tensors must not overlap",
      got: `byte ${offset}, which is inside ${quote(previous.name)}`,
      remedy: DAMAGED,
    });
  }
}

function textsOf(values: GgufMetadata): Record<string, string> {
  const texts: Record<string, string> = Object.create(null);
  for (const [key, entry] of values) if (entry.type === "string") texts[key] = entry.value as string;
  return texts;
}
