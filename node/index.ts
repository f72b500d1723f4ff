import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import { CheckpointError, type Host, type Model, type OpenOptions, openModel, reference } from "../src/index.ts";
import { openFolder } from "./files.ts";

export * from "../src/index.ts";

const host: Host = {
  nowMs: () => performance.now(),
  pause: () => setImmediate(),
};

/** What computes in this version, best first. */
const BACKENDS = [reference];

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
  if (stats.isDirectory()) return openModel({ folder: await openFolder(path) }, host, BACKENDS, options);
  const folder = await openFolder(dirname(path));
  return openModel({ folder, weightsFile: basename(path) }, host, BACKENDS, options);
}
