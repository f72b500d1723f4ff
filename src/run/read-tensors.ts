import { tensorPath } from "../checkpoint/checkpoint.ts";
import { openSafetensorsFile } from "../checkpoint/safetensors.ts";
import { CheckpointError } from "../errors.ts";
import type { Host } from "../host.ts";
import { formatBytes, numel } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { decodeTensor, openNamedFile } from "./read-vector.ts";

/** Most that is read into memory at once. */
const MAX_BYTES = 2 ** 31;

/** All tensors of a safetensors file beside the model's own, in float32. @throws CheckpointError for other types, and above 2 GiB. */
export async function readTensors(host: Host, file: string): Promise<Readonly<Record<string, Tensor<Float32Array>>>> {
  const checkpoint = await openSafetensorsFile(await openNamedFile(host, file));
  try {
    const stored = [...checkpoint.tensors.values()];
    const sizeBytes = stored.reduce((sum, { shape }) => sum + 4 * numel(shape), 0);
    if (sizeBytes > MAX_BYTES) {
      const expected = `at most ${formatBytes(MAX_BYTES)} can be read`;
      throw new CheckpointError("checkpoint.shape", { path: file, expected, got: formatBytes(sizeBytes) });
    }
    const tensors: Record<string, Tensor<Float32Array>> = {};
    for (const tensor of stored) {
      const values = decodeTensor(tensor, await checkpoint.read(tensor), tensorPath(file, tensor.name));
      tensors[tensor.name] = new Tensor(tensor.shape, values);
    }
    return tensors;
  } finally {
    await checkpoint.close();
  }
}
