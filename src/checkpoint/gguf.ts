import { CheckpointError } from "../errors.ts";
import type { Source } from "../host.ts";
import { type Checkpoint, checkpointOf } from "./checkpoint.ts";
import { readGgufHeader } from "./gguf-header.ts";
import type { GgufMetadata } from "./gguf-values.ts";

/** The tensors of a GGUF file, and the metadata that stand for a config and a tokenizer. */
export interface GgufCheckpoint extends Checkpoint {
  readonly values: GgufMetadata;
}

/**
 * Opens one GGUF file; its tensors keep GGUF's own names and types. Owns the source from here on: closes it with the
 * checkpoint, or where it refuses it.
 */
export async function openGguf(source: Source): Promise<GgufCheckpoint> {
  try {
    const file = await readGgufHeader(source.name, source);
    checkWhole(source.name, file.values);
    return { ...checkpointOf(source.name, "gguf", [file]), values: file.values };
  } catch (error) {
    await source.close();
    throw error;
  }
}

function checkWhole(path: string, values: GgufMetadata): void {
  const nFiles = Number(values.get("split.count")?.value ?? 1);
  if (nFiles <= 1) return;
  throw new CheckpointError("checkpoint.missing", {
    path,
    expected: "a model must be in one GGUF file",
    got: `one of ${nFiles} parts`,
    remedy: "Put the parts together with llama-gguf-split --merge.",
  });
}
