import { readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, extname, join, resolve, sep } from "node:path";
import { type ConversionOptions, type ConvertedFile, openConversion, RequestError } from "../src/index.ts";
import { hubNameOf } from "./hub/name.ts";
import { type HubProgress, localPath } from "./hub/pull.ts";
import { locateModel } from "./model-files.ts";
import { writeAtomically, writeFileDurably, writeFolderDurably } from "./write-atomically.ts";

export interface ConvertOptions extends Pick<ConversionOptions, "type" | "shardSizeBytes" | "ignore"> {
  /** Replaces what is at the target: a GGUF file, or a folder that holds a model's files alone. */
  readonly force?: boolean;
  readonly signal?: AbortSignal;
  /** Hears of files that are downloaded first, where the model is one of the Hub. */
  readonly onDownload?: (progress: HubProgress) => void;
  /** Hears how much of the target is written. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** What was written. */
export interface Converted {
  readonly path: string;
  /** That most weights have. */
  readonly type: string;
  readonly nTensors: number;
  readonly sizeBytes: number;
  /** What is otherwise than asked for, or not there: sentences without a full stop. */
  readonly notes: readonly string[];
}

/**
 * Writes a model that `open` takes to `target`: a GGUF file where it ends in .gguf, else a folder in the layout of Hugging
 * Face. The target is whole or not there; a few megabytes of weights are in memory at a time.
 */
export async function convert(model: string, target: string, options: ConvertOptions = {}): Promise<Converted> {
  const { type, shardSizeBytes, ignore, force = false, signal, onDownload, onProgress = () => {} } = options;
  const format = isGguf(target) ? "gguf" : "safetensors";
  const hubName = await hubNameOf(model);
  const path = await localPath(model, { signal, onProgress: onDownload });
  const files = await locateModel(path);
  const name = basename(hubName?.repository ?? resolve(path), isGguf(path) ? extname(path) : "");
  const conversion = await openConversion(files, { format, type, shardSizeBytes, ignore, name });
  try {
    await checkTarget([path, ...conversion.sourceFiles], target, force);
    const totalBytes = conversion.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    let sizeBytes = 0;
    const write = (path: string, file: ConvertedFile): Promise<void> =>
      writeFileDurably(path, stoppable(file.pieces(), signal), (nBytes) => {
        sizeBytes += nBytes;
        onProgress(Math.min(sizeBytes, totalBytes), totalBytes);
      });
    // A folder's name may end in a slash, or be a link to it.
    const place = (await isFolder(target)) ? await realpath(target) : resolve(target);
    await writeAtomically(place, async (temporary) => {
      if (format === "gguf") return write(temporary, conversion.files[0]);
      await writeFolderDurably(temporary, async () => {
        for (const file of conversion.files) await write(join(temporary, file.name), file);
      });
    });
    const { type: written, nTensors, notes } = conversion;
    return { path: target, type: written, nTensors, sizeBytes, notes };
  } finally {
    await conversion.close();
  }
}

function isGguf(path: string): boolean {
  return path.toLowerCase().endsWith(".gguf");
}

async function* stoppable<T>(pieces: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T> {
  for await (const piece of pieces) {
    signal?.throwIfAborted();
    yield piece;
  }
}

/** Refuses a target that must not be written. `sources`: the model's own path, and the files of its weights. */
async function checkTarget(sources: readonly string[], target: string, force: boolean): Promise<void> {
  const refuse = (expected: string, got: string, remedy: string) =>
    new RequestError("request.option", { path: `convert: ${target}`, expected, got, remedy });
  const folder = dirname(resolve(target));
  if (!(await isFolder(folder))) {
    throw refuse("the folder of the target must exist", `${folder}, which does not`, "Make it first.");
  }
  const exists = await stat(target).then(
    () => true,
    () => false,
  );
  if (!exists) return;
  const to = await realpath(target);
  const own = (await Promise.all(sources.map((source) => realpath(source)))).find(
    (from) => from === to || from.startsWith(`${to}${sep}`),
  );
  if (own !== undefined) throw refuse("the target must not be the model itself", own, "Write to another place.");
  if (!force) throw refuse("the target must not exist yet", "something there", "Choose another name, or force it.");
  const isFolderThere = await isFolder(target);
  if (isGguf(target) === isFolderThere) {
    const there = isFolderThere ? "a folder" : "a file";
    throw refuse("what is replaced must be of the same kind", there, "Choose another name.");
  }
  const foreign = isFolderThere ? (await readdir(target)).find((file) => !MODEL_FILES.test(file)) : undefined;
  if (foreign === undefined) return;
  throw refuse("a folder that is replaced must hold a model's files alone", foreign, "Choose another name.");
}

function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** What a conversion may have written into a folder. */
const MODEL_FILES = new RegExp(
  `^(${[
    "(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\\.json",
    "model(-\\d+-of-\\d+)?\\.safetensors(\\.index\\.json)?",
    "merges\\.txt|tokenizer\\.model|chat_template\\.(jinja|json)",
  ].join("|")})$`,
);
