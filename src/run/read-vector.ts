import { type Checkpoint, type StoredTensor, tensorPath } from "../checkpoint/checkpoint.ts";
import { openSafetensorsFile } from "../checkpoint/safetensors.ts";
import { CheckpointError, RequestError, suggest } from "../errors.ts";
import type { VectorRef } from "../glass/edit-spec.ts";
import type { Host, Source } from "../host.ts";
import { COMPUTE_DTYPES } from "../tensor/dtype.ts";
import { decodeRows, isPlainFormat } from "../tensor/format.ts";
import { formatShape, numel } from "../tensor/shape.ts";

/** A file beside the model's own, by its path. @throws RequestError where the platform has no files. */
export async function openNamedFile(host: Host, path: string): Promise<Source> {
  if (host.openFile !== undefined) return host.openFile(path);
  throw new RequestError("request.option", {
    path,
    expected: "a file can be named only where the platform has files",
    remedy: "Give the numbers or the recording themselves.",
  });
}

/** A vector of a safetensors file: [n] or [1, n], of any type of real numbers that has at least 16 bits. */
export async function readVector(host: Host, { file, tensor: name }: VectorRef): Promise<Float32Array> {
  const checkpoint = await openSafetensorsFile(await openNamedFile(host, file));
  try {
    const tensor = findVector(checkpoint, name);
    return decodeTensor(tensor, await checkpoint.read(tensor), tensorPath(file, name));
  } finally {
    await checkpoint.close();
  }
}

function findVector({ name: file, tensors }: Checkpoint, name: string): StoredTensor {
  const tensor = tensors.get(name);
  const path = tensorPath(file, name);
  if (tensor === undefined) {
    throw new CheckpointError("checkpoint.missing", {
      path,
      expected: "the file must hold the tensor",
      got: `a file of ${[...tensors.values()].slice(0, 12).map(describe).join(", ")}${tensors.size > 12 ? ", ..." : ""}`,
      remedy: suggest(name, [...tensors.keys()]),
    });
  }
  const { shape } = tensor;
  if (shape.length === 1 || (shape.length === 2 && shape[0] === 1)) return tensor;
  throw new CheckpointError("checkpoint.shape", {
    path,
    expected: "a vector has the shape [n] or [1, n]",
    got: formatShape(shape),
    remedy: "Save the one row that is meant.",
  });
}

function describe({ name, shape }: StoredTensor): string {
  return `${name} ${formatShape(shape)}`;
}

/** A stored tensor's numbers, of any type of real numbers that has at least 16 bits. */
export function decodeTensor(
  { dtype, shape }: StoredTensor,
  bytes: Uint8Array<ArrayBuffer>,
  path: string,
): Float32Array {
  if (dtype === "f64") return Float32Array.from(new Float64Array(new Uint8Array(bytes).buffer));
  if (!isPlainFormat(dtype)) {
    throw new CheckpointError("checkpoint.dtype", {
      path,
      expected: `the type must be ${[...COMPUTE_DTYPES, "f64"].join(", ")}`,
      got: dtype,
      remedy: "Save it as one of these.",
    });
  }
  const values = new Float32Array(numel(shape));
  decodeRows(dtype, bytes, values, 0);
  return values;
}
