import { RequestError } from "../errors.ts";
import { blockOf, encodeRows, type PlainFormat, tensorSizeBytes } from "../tensor/format.ts";
import { formatShape, numel } from "../tensor/shape.ts";
import { quote } from "./checkpoint.ts";
import { ALIGNMENT_KEY, DEFAULT_ALIGNMENT, isAlignment, MAGIC, MAX_AXES, VERSION } from "./gguf-header.ts";
import { TYPE_IDS } from "./gguf-types.ts";
import { type ElementType, type GgufMetadata, NUMBER_ARRAYS, type Scalar, VALUE_TYPES } from "./gguf-values.ts";

/** A tensor to be written, whose numbers are made when its turn comes. */
export interface GgufTensor {
  readonly name: string;
  /** Row-major, [out, in] or [out]. */
  readonly shape: readonly number[];
  readonly type: PlainFormat;
  /**
   * All elements in order, in pieces of any size that hold whole blocks of the type (32 for q8_0): numbers, or bytes in
   * the type already.
   */
  rows(): Iterable<RowPiece> | AsyncIterable<RowPiece>;
}

type RowPiece = Float32Array | Uint8Array<ArrayBuffer>;

/** ggml keeps names in 64 bytes, the last of them 0. */
const MAX_NAME_BYTES = 63;

/**
 * The bytes of a GGUF file (version 3), piece by piece: one for the header, then those of each tensor's `rows`, so that
 * no more is in memory than a header and one piece. Numbers are rounded as ggml rounds them.
 * @throws RequestError for metadata or tensors that no reader would take.
 */
export async function* encodeGguf(
  metadata: GgufMetadata,
  tensors: readonly GgufTensor[],
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const alignment = alignmentOf(metadata);
  checkTensors(tensors);
  const header = concatenated([...headerParts(metadata, tensors, alignment)]);
  yield header;
  yield padding(header.length, alignment);
  for (const tensor of tensors) {
    yield* encodeTensor(tensor);
    yield padding(sizeBytesOf(tensor), alignment);
  }
}

async function* encodeTensor({ name, shape, type, rows }: GgufTensor): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let nLeft = numel(shape);
  const { nElements, sizeBytes } = blockOf(type);
  for await (const piece of rows()) {
    const nBlocks = piece instanceof Float32Array ? piece.length / nElements : piece.length / sizeBytes;
    nLeft -= nBlocks * nElements;
    if (nLeft < 0 || !Number.isInteger(nBlocks)) {
      const expected = `pieces must hold whole blocks, ${numel(shape)} elements in all`;
      throw refuse(name, expected, `a piece of ${nBlocks * nElements}, with ${nLeft + nBlocks * nElements} left`);
    }
    yield piece instanceof Float32Array ? encodeRows(type, piece, `write GGUF: ${name}`) : piece;
  }
  if (nLeft > 0) throw refuse(name, `shape ${formatShape(shape)} needs ${numel(shape)} elements`, `${nLeft} less`);
}

function* headerParts(
  metadata: GgufMetadata,
  tensors: readonly GgufTensor[],
  alignment: number,
): Generator<Uint8Array<ArrayBuffer>> {
  yield new TextEncoder().encode(MAGIC);
  yield u32(VERSION);
  yield u64(tensors.length);
  yield u64(metadata.size);
  for (const [key, entry] of metadata) {
    if (key === "") throw refuse("metadata", "a key must not be empty", quote(key));
    yield text(key);
    yield u32(VALUE_TYPES.indexOf(entry.type));
    if (entry.type !== "array") {
      yield encodeValue(key, entry.type, entry.value);
      continue;
    }
    yield u32(VALUE_TYPES.indexOf(entry.of));
    yield u64(entry.value.length);
    for (let i = 0; i < entry.value.length; i++) yield encodeValue(key, entry.of, entry.value[i]);
  }
  let offset = 0;
  for (const tensor of tensors) {
    yield text(tensor.name);
    yield u32(tensor.shape.length);
    yield* tensor.shape.toReversed().map(u64);
    yield u32(TYPE_IDS[tensor.type]);
    yield u64(offset);
    offset += aligned(sizeBytesOf(tensor), alignment);
  }
}

function encodeValue(key: string, type: ElementType, value: Scalar): Uint8Array<ArrayBuffer> {
  if (type === "string" && typeof value === "string") return text(value);
  if (type === "bool" && typeof value === "boolean") return Uint8Array.of(value ? 1 : 0);
  const isBig = type === "u64" || type === "i64";
  if (type !== "string" && type !== "bool" && typeof value === (isBig ? "bigint" : "number")) {
    const one = new NUMBER_ARRAYS[type](1);
    one[0] = value as never;
    // f32 rounds; the others must hold the value itself.
    if (type === "f32" || Object.is(one[0], value)) return new Uint8Array(one.buffer);
  }
  throw refuse(key, `the value must be a ${type}`, `${typeof value} ${quote(value)}`);
}

function alignmentOf(metadata: GgufMetadata): number {
  const entry = metadata.get(ALIGNMENT_KEY);
  if (entry === undefined) return DEFAULT_ALIGNMENT;
  if (isAlignment(entry)) return entry.value;
  throw refuse(ALIGNMENT_KEY, "the alignment must be a power of two from 8 up, in u32", quote(entry.value));
}

function checkTensors(tensors: readonly GgufTensor[]): void {
  const names = new Set<string>();
  for (const { name, shape, type } of tensors) {
    const nBytes = new TextEncoder().encode(name).length;
    if (nBytes > MAX_NAME_BYTES) throw refuse(name, `a name has at most ${MAX_NAME_BYTES} bytes in ggml`, `${nBytes}`);
    if (names.has(name)) throw refuse(name, "every tensor must have a name of its own", "it twice");
    names.add(name);
    const { nElements } = blockOf(type);
    const isShape =
      shape.length > 0 && shape.length <= MAX_AXES && shape.every((n) => Number.isSafeInteger(n) && n > 0);
    if (!isShape || (shape.at(-1) ?? 0) % nElements !== 0 || tensorSizeBytes(shape, type) === undefined) {
      const expected = `a shape is 1 to ${MAX_AXES} sizes, with rows of whole blocks of ${nElements} in ${type}`;
      throw refuse(name, expected, formatShape(shape));
    }
  }
}

function refuse(path: string, expected: string, got: string): RequestError {
  return new RequestError("request.option", { path: `write GGUF: ${path}`, expected, got });
}

/** Of a shape that has been checked. */
function sizeBytesOf({ shape, type }: GgufTensor): number {
  return tensorSizeBytes(shape, type) ?? 0;
}

function aligned(sizeBytes: number, alignment: number): number {
  return Math.ceil(sizeBytes / alignment) * alignment;
}

function padding(sizeBytes: number, alignment: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(aligned(sizeBytes, alignment) - sizeBytes);
}

function u32(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

function u64(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
}

function text(value: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(value);
  return concatenated([u64(bytes.length), bytes]);
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sizeBytes, part) => sizeBytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
