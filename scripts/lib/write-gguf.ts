import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { GgufMetadata } from "../../src/checkpoint/gguf-values.ts";
import { encodeGguf, type GgufTensor } from "../../src/checkpoint/write-gguf.ts";

/**
 * Writes a GGUF file, of which a header and one piece of a tensor's `rows` at a time are in memory. It appears under its
 * name once it is complete.
 */
export async function writeGguf(
  path: string,
  metadata: GgufMetadata,
  tensors: Iterable<GgufTensor> | AsyncIterable<GgufTensor>,
): Promise<void> {
  const unfinished = `${path}.tmp`;
  try {
    await pipeline(encodeGguf(metadata, await Array.fromAsync(tensors)), createWriteStream(unfinished));
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}
