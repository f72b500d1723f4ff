import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Host } from "../host.ts";
import type { Op } from "../tape/op.ts";
import type { StepInputs } from "../tape/sizes.ts";
import type { Tape } from "../tape/tape.ts";
import type { FloatArray, Precision } from "../tensor/dtype.ts";
import type { Binding } from "../weights/bind.ts";

/** A way to execute tapes. Backends know nothing of models, reads or edits. */
export interface Backend {
  readonly name: string;
  /** How it can store numbers between ops. */
  readonly precisions: readonly Precision[];
  /** Whether the backend has the op itself; a composite that it has not is expanded. */
  supports(op: Op): boolean;
  /** Inner points of a composite that the backend's kernel can store without computing anything else. */
  taps(op: Op): readonly string[];
  /** Takes a model's weights into use; reads nothing yet. */
  load(weights: LoadedWeights): Engine;
}

export interface LoadedWeights {
  readonly bindings: ReadonlyMap<string, Binding>;
  readonly checkpoint: Checkpoint;
  readonly precision: Precision;
  readonly host: Host;
}

/** One model on one backend. Steps run one after another. */
export interface Engine {
  /** Prepares a verified tape for many runs; the symbolic sizes may differ in each. */
  compile(tape: Tape): Program;
  /** Gives back what a compiled program holds. */
  release(program: Program): void;
  /** Makes room for this many pages of keys and values in every layer's cache; what is stored there stays. */
  reserve(nPages: number): void;
  /** Copies pages' keys and values in every layer, before the next step. */
  copyPages(copies: readonly { readonly from: number; readonly to: number }[]): void;
  /** One step; the arrays that it returns are the caller's. Rejects with the signal's reason once it is aborted. */
  run(program: Program, step: StepInputs, signal?: AbortSignal): Promise<ReadonlyMap<string, StepOutput>>;
  close(): Promise<void>;
}

/** A compiled tape; what is inside is the backend's business. */
export interface Program {
  readonly tape: Tape;
}

export interface StepOutput {
  readonly shape: readonly number[];
  /** No element is another output's too, though small outputs may lie side by side in one ArrayBuffer. */
  readonly data: FloatArray | Int32Array;
}
