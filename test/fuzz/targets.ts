import type fc from "fast-check";
import { gguf } from "./gguf.ts";
import { safetensors } from "./safetensors.ts";
import type { Files, Outcome } from "./sound.ts";
import { tokenizer } from "./tokenizer.ts";

/** A reader of files that nobody vouches for. */
export interface Target {
  readonly name: string;
  readonly cases: fc.Arbitrary<Files>;
  /** Reads a case's files; rejects where a reader did anything but open or refuse them. */
  run(files: Files): Promise<Outcome>;
}

export const targets: readonly Target[] = [gguf, safetensors, tokenizer];
