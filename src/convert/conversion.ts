import type { CheckpointFormat } from "../checkpoint/checkpoint.ts";
import type { GgufMetadata } from "../checkpoint/gguf-values.ts";
import type { Folder } from "../host.ts";
import type { OpenFiles } from "../run/files.ts";
import type { PlainFormat } from "../tensor/format.ts";
import type { Bindings } from "../weights/bind.ts";
import type { WeightSpec } from "../weights/schema.ts";
import type { ConvertType } from "./types.ts";

export interface ConversionOptions {
  /** One GGUF file, or the files of a folder in the layout of Hugging Face. */
  readonly format: CheckpointFormat;
  /** Of the weights that are matrices; each as the source has it where undefined. */
  readonly type?: ConvertType;
  /** Most bytes of one safetensors file; 5 GB where undefined. */
  readonly shardSizeBytes?: number;
  /** As for `openModel`. */
  readonly ignore?: readonly string[];
  /** What the metadata of a GGUF file call the model. */
  readonly name: string;
}

/** A file of the target. */
export interface ConvertedFile {
  /** Plain; of a GGUF file "model.gguf". */
  readonly name: string;
  /** What the weights in it take. */
  readonly sizeBytes: number;
  pieces(): AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/** What will be written. */
export interface Plan {
  readonly files: readonly ConvertedFile[];
  /** That most weights have. */
  readonly type: PlainFormat;
  readonly nTensors: number;
  /** What is otherwise than asked for, or not there: sentences without a full stop. */
  readonly notes: readonly string[];
}

export interface Conversion extends Plan {
  /** The files of this machine that the weights are read from; they must stay as they are until it is closed. */
  readonly sourceFiles: readonly string[];
  /** Closes the source. */
  close(): Promise<void>;
}

/** What of the source no file of the target has. */
export function leftOutNotes({ ignored }: Bindings): string[] {
  const byReason = Map.groupBy(ignored, ({ reason }) => reason);
  return Array.from(
    byReason,
    ([
      reason,
      {
        length: n,
        0: { tensor },
      },
    ]) => {
      return `${n === 1 ? tensor : `${tensor} and ${n - 1} more`} left out: ${reason}`;
    },
  );
}

/** A model's open files with its weights bound. */
export interface ConversionSource extends OpenFiles {
  readonly folder: Folder;
  readonly bindings: Bindings;
  /** Every weight of the architecture, the unembedding also where it is tied to the embedding. */
  readonly specs: ReadonlyMap<string, WeightSpec>;
  /** The metadata of a GGUF file; undefined where the source is none. */
  readonly values: GgufMetadata | undefined;
}
