import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import {
  type Backend,
  CheckpointError,
  type Host,
  type Model,
  type OpenOptions,
  openModel,
  reference,
} from "../src/index.ts";
import { openFolder } from "./files.ts";
import { nativeBackend } from "./native/backend.ts";

export * from "../src/index.ts";
export { type NativeOptions, nativeBackend } from "./native/backend.ts";

const host: Host = {
  nowMs: () => performance.now(),
  pause: () => setImmediate(),
};

/** What computes on this machine, best first. */
function availableBackends(): readonly Backend[] {
  backends ??= [nativeBackend(), reference].filter((backend) => backend !== undefined);
  return backends;
}

let backends: readonly Backend[] | undefined;

/**
 * Opens a model from a local directory in the Hugging Face layout, from one safetensors file in such a directory, or from
 * a GGUF file. Reads headers only; weights are read when a run needs them.
 * @throws CheckpointError, ConfigError for files that are damaged, do not fit together or are not supported.
 */
export async function open(path: string, options: OpenOptions = {}): Promise<Model> {
  const stats = await stat(path).catch((cause) => {
    throw new CheckpointError("checkpoint.missing", {
      path,
      expected: "the model must be a directory, a safetensors file or a GGUF file",
      got: cause.code === "ENOENT" ? "nothing at that path" : `${cause.message}`,
      remedy: "Give the path of a model's directory or file.",
      cause,
    });
  });
  if (stats.isDirectory()) return openModel({ folder: await openFolder(path) }, host, availableBackends(), options);
  const folder = await openFolder(dirname(path));
  return openModel({ folder, weightsFile: basename(path) }, host, availableBackends(), options);
}
