/** Checkpoints in memory of named tensors in any format, in one file or several. */

import { type CheckpointFormat, checkpointOf, type StoredTensor } from "../../src/checkpoint/checkpoint.ts";
import type { Format } from "../../src/tensor/format.ts";
import { concat, MemorySource } from "../checkpoint-files.ts";

export interface MemoryTensor {
  readonly shape: readonly number[];
  readonly dtype?: Format;
  readonly bytes: Uint8Array;
}

/** Little-endian bytes of float32 numbers. */
export function float32(shape: readonly number[], numbers: ArrayLike<number>): MemoryTensor {
  return { shape, bytes: new Uint8Array(Float32Array.from(numbers).buffer) };
}

export function bytes(shape: readonly number[], dtype: Format, numbers: ArrayLike<number>): MemoryTensor {
  return { shape, dtype, bytes: Uint8Array.from(numbers) };
}

/** Float32 numbers, each a function of its indices. */
export function filled(shape: readonly number[], at: (...index: number[]) => number): MemoryTensor {
  const n = shape.reduce((product, size) => product * size, 1);
  const numbers = Array.from({ length: n }, (_, i) => {
    let rest = i;
    const reversed = shape.toReversed().map((size) => {
      const index = rest % size;
      rest = Math.floor(rest / size);
      return index;
    });
    return at(...reversed.toReversed());
  });
  return float32(shape, numbers);
}

/** One file for each record of tensors, which are float32 unless they say otherwise. */
export function memoryCheckpoint(
  format: CheckpointFormat,
  ...files: readonly Readonly<Record<string, MemoryTensor>>[]
): { checkpoint: ReturnType<typeof checkpointOf>; sources: MemorySource[] } {
  const built = files.map((tensors, i) => {
    const file = `file-${i}`;
    const found: StoredTensor[] = [];
    // Not at the beginning of the file.
    let offset = 16;
    for (const [name, { shape, dtype = "f32", bytes: data }] of Object.entries(tensors)) {
      found.push({ name, dtype, shape, file, offset, sizeBytes: data.length });
      offset += data.length;
    }
    const parts = Object.values(tensors).map((tensor) => tensor.bytes);
    return { file, source: new MemorySource(file, concat(new Uint8Array(16), ...parts)), tensors: found, metadata: {} };
  });
  return { checkpoint: checkpointOf("memory", format, built), sources: built.map(({ source }) => source) };
}
