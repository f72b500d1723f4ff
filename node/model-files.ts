import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { CheckpointError, type ModelFiles } from "../src/index.ts";
import { openFolder } from "./files.ts";

/** The files of a model at a path: a directory in the Hugging Face layout, a safetensors file in one, or a GGUF file. */
export async function locateModel(path: string): Promise<ModelFiles> {
  const stats = await stat(path).catch((cause) => {
    throw new CheckpointError("checkpoint.missing", {
      path,
      expected: "the model must be a directory, a safetensors file or a GGUF file",
      got: cause.code === "ENOENT" ? "nothing at that path" : `${cause.message}`,
      remedy: "Give the path of a model's directory or file.",
      cause,
    });
  });
  if (stats.isDirectory()) return { folder: await openFolder(path) };
  return { folder: await openFolder(dirname(path)), weightsFile: basename(path) };
}
