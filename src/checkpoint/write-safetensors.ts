import { RequestError } from "../errors.ts";
import { formatShape, numel } from "../tensor/shape.ts";

/** A tensor to be written: row-major, as many elements as its shape has. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * A safetensors file of F32 tensors (github.com/huggingface/safetensors): in ascending order of their names, so
 * that equal tensors give equal bytes. Every value keeps its bits, infinities and NaN payloads included.
 */
export function encodeSafetensors(
  tensors: Iterable<NamedTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
  checkTensors(sorted);
  const header = new TextEncoder().encode(headerText(sorted, metadata));
  const dataOffset = 8 + header.length;
  const file = new Uint8Array(dataOffset + sorted.reduce((size, { data }) => size + data.byteLength, 0));
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, 8);
  let offset = dataOffset;
  for (const { data } of sorted) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return file;
}

/** Padded with spaces to whole 8 bytes, as the official writer does, so that the data are aligned. */
function headerText(tensors: readonly NamedTensor[], metadata: Readonly<Record<string, string>>): string {
  const entries: [string, unknown][] = [];
  const sortedMetadata = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  if (sortedMetadata.length > 0) entries.push(["__metadata__", Object.fromEntries(sortedMetadata)]);
  let begin = 0;
  for (const { name, shape, data } of tensors) {
    const end = begin + data.byteLength;
    entries.push([name, { dtype: "F32", shape, data_offsets: [begin, end] }]);
    begin = end;
  }
  const json = JSON.stringify(Object.fromEntries(entries));
  const sizeBytes = new TextEncoder().encode(json).length;
  return json + " ".repeat(-sizeBytes & 7);
}

/** `sorted` by name. */
function checkTensors(sorted: readonly NamedTensor[]): void {
  for (const [i, { name, shape, data }] of sorted.entries()) {
    const refuse = (expected: string, got: string) =>
      new RequestError("request.option", { path: `tensor ${JSON.stringify(name)}`, expected, got });
    if (name === "__metadata__") throw refuse("the name must not be the key of the metadata", name);
    if (name === sorted[i - 1]?.name) throw refuse("every tensor must have a name of its own", "it twice");
    if (numel(shape) !== data.length) {
      throw refuse(`shape ${formatShape(shape)} needs ${numel(shape)} elements`, `${data.length}`);
    }
  }
}
