import { RequestError } from "../errors.ts";
import { type ComputeDtype, DTYPE_SIZE_BYTES, type Dtype } from "../tensor/dtype.ts";
import { formatShape, numel } from "../tensor/shape.ts";

/** A tensor to be written: row-major, as many elements as its shape has. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A tensor to be written, whose bytes are made when its turn comes. */
export interface StreamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: ComputeDtype;
  /** All elements in order, little-endian, in pieces of any size. */
  bytes(): AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/** A tensor whose bytes are written by whoever knows its place. */
export interface DescribedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/** A file that is known before its tensors are: its beginning, and the byte at which each of them begins. */
export interface SafetensorsLayout {
  readonly header: Uint8Array<ArrayBuffer>;
  readonly offsets: ReadonlyMap<string, number>;
  readonly sizeBytes: number;
}

type Metadata = Readonly<Record<string, string>>;

/**
 * A safetensors file of F32 tensors (github.com/huggingface/safetensors): in ascending order of their names, so
 * that equal tensors give equal bytes. Every value keeps its bits, infinities and NaN payloads included.
 */
export function encodeSafetensors(tensors: Iterable<NamedTensor>, metadata: Metadata = {}): Uint8Array<ArrayBuffer> {
  const sorted = Array.from(tensors, (tensor) => ({ ...tensor, dtype: "f32" as const })).sort(byPlace);
  for (const { name, shape, data } of sorted) checkLength(name, shape, data.length);
  const header = headerOf(sorted, metadata);
  const file = new Uint8Array(header.length + sorted.reduce((size, { data }) => size + data.byteLength, 0));
  file.set(header);
  let offset = header.length;
  for (const { data } of sorted) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return file;
}

/** As `encodeSafetensors`, of any type that is computed with, piece by piece: the widest type first, then by name. */
export async function* streamSafetensors(
  tensors: readonly StreamedTensor[],
  metadata: Metadata = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const sorted = tensors.toSorted(byPlace);
  yield headerOf(sorted, metadata);
  for (const { name, shape, dtype, bytes } of sorted) {
    let sizeBytes = 0;
    for await (const piece of bytes()) {
      sizeBytes += piece.length;
      yield piece;
    }
    checkLength(name, shape, sizeBytes / DTYPE_SIZE_BYTES[dtype]);
  }
}

/** Where everything will stand in a file of these tensors, in the order of `streamSafetensors`. */
export function layOutSafetensors(tensors: readonly DescribedTensor[], metadata: Metadata = {}): SafetensorsLayout {
  const sorted = tensors.toSorted(byPlace);
  const header = headerOf(sorted, metadata);
  const offsets = new Map<string, number>();
  let sizeBytes = header.length;
  for (const { name, shape, dtype } of sorted) {
    offsets.set(name, sizeBytes);
    sizeBytes += numel(shape) * DTYPE_SIZE_BYTES[dtype];
  }
  return { header, offsets, sizeBytes };
}

/** Wider elements first, as the official writer has them, so that all are aligned. */
function byPlace(a: DescribedTensor, b: DescribedTensor): number {
  return DTYPE_SIZE_BYTES[b.dtype] - DTYPE_SIZE_BYTES[a.dtype] || (a.name < b.name ? -1 : 1);
}

/** Length and JSON, padded with spaces to whole 8 bytes, as the official writer does, so that the data are aligned. */
function headerOf(sorted: readonly DescribedTensor[], metadata: Metadata): Uint8Array<ArrayBuffer> {
  checkNames(sorted);
  const entries: [string, unknown][] = [];
  const sortedMetadata = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  if (sortedMetadata.length > 0) entries.push(["__metadata__", Object.fromEntries(sortedMetadata)]);
  let begin = 0;
  for (const { name, shape, dtype } of sorted) {
    const end = begin + numel(shape) * DTYPE_SIZE_BYTES[dtype];
    entries.push([name, { dtype: dtype.toUpperCase(), shape, data_offsets: [begin, end] }]);
    begin = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return header;
}

function checkNames(sorted: readonly DescribedTensor[]): void {
  const seen = new Set<string>();
  for (const { name } of sorted) {
    if (name === "__metadata__") throw refuse(name, "the name must not be the key of the metadata", name);
    if (seen.has(name)) throw refuse(name, "every tensor must have a name of its own", "it twice");
    seen.add(name);
  }
}

function checkLength(name: string, shape: readonly number[], length: number): void {
  if (numel(shape) === length) return;
  throw refuse(name, `shape ${formatShape(shape)} needs ${numel(shape)} elements`, `${length}`);
}

function refuse(name: string, expected: string, got: string): RequestError {
  return new RequestError("request.option", { path: `tensor ${JSON.stringify(name)}`, expected, got });
}
