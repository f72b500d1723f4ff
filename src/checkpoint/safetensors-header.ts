/**
 * The safetensors format (github.com/huggingface/safetensors): the header's length as a little-endian u64, the
 * header as JSON (`{ name: { dtype, shape, data_offsets: [begin, end] } }`, offsets counted from the header's end,
 * optional `__metadata__` of strings), then the tensors' bytes without gaps. What the official reader refuses is
 * refused here, and also duplicate keys.
 */
import { CheckpointError, type ErrorCode } from "../errors.ts";
import type { Source } from "../host.ts";
import { DTYPE_SIZE_BYTES, type Dtype } from "../tensor/dtype.ts";
import { tensorSizeBytes } from "../tensor/format.ts";
import { formatShape } from "../tensor/shape.ts";
import { type CheckpointFile, quote, type StoredTensor, tensorPath } from "./checkpoint.ts";
import { DAMAGED, isObject, MAX_JSON_BYTES, parseJsonObject } from "./json.ts";

const LENGTH_SIZE_BYTES = 8;
const METADATA_KEY = "__metadata__";
const DTYPES = new Map((Object.keys(DTYPE_SIZE_BYTES) as Dtype[]).map((dtype) => [dtype.toUpperCase(), dtype]));

/** Reads the length and the header, and checks them against each other and the file's size; no weight is read. */
export async function readSafetensorsHeader(file: string, source: Source): Promise<CheckpointFile> {
  const headerSizeBytes = await readHeaderLength(source);
  const header = parseJsonObject(source.name, await source.read(LENGTH_SIZE_BYTES, headerSizeBytes));
  const dataOffset = LENGTH_SIZE_BYTES + headerSizeBytes;
  const tensors = [...header]
    .filter(([name]) => name !== METADATA_KEY)
    .map(([name, entry]) => parseTensor(source, name, entry, { file, dataOffset }))
    .sort((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
  checkCoverage(source, tensors, dataOffset);
  return { file, source, tensors, metadata: parseMetadata(source.name, header.get(METADATA_KEY)) };
}

async function readHeaderLength(source: Source): Promise<number> {
  const path = source.name;
  if (source.sizeBytes < LENGTH_SIZE_BYTES) {
    throw new CheckpointError("checkpoint.truncated", {
      path,
      expected: "a safetensors file must begin with the 8 bytes of its header's length",
      got: `${source.sizeBytes} bytes`,
      remedy: DAMAGED,
    });
  }
  const lengthBytes = await source.read(0, LENGTH_SIZE_BYTES);
  const length = new DataView(lengthBytes.buffer, lengthBytes.byteOffset).getBigUint64(0, true);
  if (length === 0n || length > MAX_JSON_BYTES) {
    throw new CheckpointError("checkpoint.header", {
      path,
      expected: `the header's length must be 1 to ${MAX_JSON_BYTES} bytes`,
      got: `${length}`,
      remedy: "Is it a safetensors file? A Git LFS pointer or a web page saved under its name reads like this.",
    });
  }
  if (Number(length) > source.sizeBytes - LENGTH_SIZE_BYTES) {
    throw new CheckpointError("checkpoint.truncated", {
      path,
      expected: `the header of ${length} bytes must end inside the file`,
      got: `a file of ${source.sizeBytes} bytes`,
      remedy: DAMAGED,
    });
  }
  return Number(length);
}

function parseTensor(
  source: Source,
  name: string,
  entry: unknown,
  { file, dataOffset }: { file: string; dataOffset: number },
): StoredTensor {
  const refuse = (code: ErrorCode, expected: string, got: string, remedy = DAMAGED) =>
    new CheckpointError(code, { path: tensorPath(source.name, name), expected, got, remedy });
  if (!isObject(entry)) throw refuse("checkpoint.tensor", "an entry must be an object", quote(entry));

  const [dtypeName, shape, offsets] = ["dtype", "shape", "data_offsets"].map((field) => entry.get(field));
  const dtype = typeof dtypeName === "string" ? DTYPES.get(dtypeName) : undefined;
  if (dtype === undefined) {
    const remedy = "Convert the tensor to one of these dtypes.";
    throw refuse("checkpoint.dtype", `dtype must be one of ${[...DTYPES.keys()].join(" ")}`, quote(dtypeName), remedy);
  }
  if (!isCounts(shape)) {
    throw refuse("checkpoint.shape", "shape must be a list of sizes below 2^53, none negative", quote(shape));
  }
  const sizeBytes = tensorSizeBytes(shape, dtype);
  if (sizeBytes === undefined) {
    throw refuse("checkpoint.shape", "a tensor's size must stay below 2^53 bytes", `${dtypeName} ${quote(shape)}`);
  }
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw refuse("checkpoint.tensor", "data_offsets must be two numbers of bytes, [begin, end]", quote(offsets));
  }
  const [begin, end] = offsets;
  if (begin > end) {
    throw refuse("checkpoint.tensor", "data_offsets must not end before they begin", formatShape(offsets));
  }
  if (end > source.sizeBytes - dataOffset) {
    const got = `data_offsets ${formatShape(offsets)} over ${source.sizeBytes - dataOffset} bytes of data`;
    throw refuse("checkpoint.truncated", "the tensor must end inside the file", got);
  }
  if (sizeBytes !== end - begin) {
    const expected = `${dtypeName} ${quote(shape)} needs ${sizeBytes} bytes`;
    throw refuse("checkpoint.tensor", expected, `${end - begin} from data_offsets ${formatShape(offsets)}`);
  }
  return { name, dtype, shape, file, offset: dataOffset + begin, sizeBytes };
}

/** Every byte after the header must belong to exactly one tensor. `tensors` are sorted by where they begin. */
function checkCoverage(source: Source, tensors: readonly StoredTensor[], dataOffset: number): void {
  let end = dataOffset;
  let previous = "the header";
  for (const { name, offset, sizeBytes } of tensors) {
    if (offset !== end) {
      throw new CheckpointError("checkpoint.tensor", {
        path: tensorPath(source.name, name),
        expected: `tensors must follow one another without overlaps or holes, so this one begins at data byte ${end - dataOffset}`,
        got: `${offset - dataOffset}, which ${offset < end ? "overlaps" : "leaves a hole after"} ${previous}`,
        remedy: DAMAGED,
      });
    }
    end = offset + sizeBytes;
    previous = quote(name);
  }
  if (end !== source.sizeBytes) {
    throw new CheckpointError("checkpoint.header", {
      path: source.name,
      expected: `the file must end where its last tensor ends, at byte ${end}`,
      got: `${source.sizeBytes - end} more`,
      remedy: "The header does not describe all of the file: download it again.",
    });
  }
}

function parseMetadata(path: string, value: unknown): Record<string, string> {
  const metadata: Record<string, string> = Object.create(null);
  if (value === undefined) return metadata;
  if (!isObject(value)) {
    const expected = `${METADATA_KEY} must be an object of strings`;
    throw new CheckpointError("checkpoint.header", { path, expected, got: quote(value), remedy: DAMAGED });
  }
  for (const [key, text] of value) {
    if (typeof text !== "string") {
      throw new CheckpointError("checkpoint.header", {
        path,
        expected: `${METADATA_KEY} must hold strings only`,
        got: `${quote(text)} for ${quote(key)}`,
        remedy: "Write the file again with this value as text.",
      });
    }
    metadata[key] = text;
  }
  return metadata;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
