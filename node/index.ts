import { setImmediate } from "node:timers/promises";
import {
  type Backend,
  type Host,
  type Model,
  type OpenOptions,
  type OpenRecordingOptions,
  openModel,
  openRecording as openRecordingOf,
  type Recording,
  reference,
} from "../src/index.ts";
import { createFile } from "./file-sink.ts";
import { openFile } from "./files.ts";
import { type HubOptions, localPath } from "./hub/pull.ts";
import { locateModel } from "./model-files.ts";
import { nativeBackend } from "./native/backend.ts";

export * from "../src/index.ts";
export { type Converted, type ConvertOptions, convert } from "./convert.ts";
export type { Pulled } from "./hub/locate.ts";
export { type HubOptions, type HubProgress, pull } from "./hub/pull.ts";
export { type NativeOptions, nativeBackend } from "./native/backend.ts";

const host: Host = {
  nowMs: () => performance.now(),
  localTime: () => new Date(),
  pause: () => setImmediate(),
  openFile,
  createFile,
};

/** What computes on this machine, best first. */
function availableBackends(): readonly Backend[] {
  backends ??= [nativeBackend(), reference].filter((backend) => backend !== undefined);
  return backends;
}

let backends: readonly Backend[] | undefined;

/**
 * Opens a model from a local directory in the Hugging Face layout, from one safetensors file in such a directory, from
 * a GGUF file (of a split one any part; a folder with one alone will do), or from the Hugging Face Hub by its name there (see `pull`). What exists on this machine goes first, unless
 * `hf:` stands before the name. Reads headers only; weights are read when a run needs them.
 * @throws CheckpointError, ConfigError for files that are damaged, do not fit together, are not supported or not to be had.
 */
export async function open(model: string, options: OpenOptions & HubOptions = {}): Promise<Model> {
  const { revision, token, offline, onProgress, signal, ...rest } = options;
  const path = await localPath(model, { revision, token, offline, onProgress, signal });
  return openModel(await locateModel(path), host, availableBackends(), rest);
}

/** Loads a recording that `Model.record` or `Recording.save` wrote. @throws CheckpointError for any other file. */
export function openRecording(path: string, options: OpenRecordingOptions = {}): Promise<Recording> {
  return openRecordingOf(path, host, options);
}
