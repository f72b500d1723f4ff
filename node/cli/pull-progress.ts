import { type HubOptions, type HubProgress, type Model, type OpenOptions, open } from "../index.ts";
import { ProgressLine } from "./progress.ts";

/** Runs what may download a model, with a progress line for all of its files together. */
export async function withPullProgress<T>(
  title: string,
  work: (onProgress: (progress: HubProgress) => void) => Promise<T>,
): Promise<T> {
  let line = new ProgressLine(title);
  const files = new Map<string, HubProgress>();
  try {
    return await work((progress) => {
      const isAnnounced = files.has(progress.file);
      files.set(progress.file, progress);
      if (isAnnounced) {
        const all = [...files.values()];
        const sum = (key: "doneBytes" | "totalBytes"): number => all.reduce((total, file) => total + file[key], 0);
        line.update(sum("doneBytes"), sum("totalBytes"));
      } else {
        // Another line: what an earlier run left of this file must count for no speed.
        line.done();
        line = new ProgressLine(title);
      }
    });
  } finally {
    line.done();
  }
}

/** Opens a model, with a progress line where it has to be downloaded first. */
export function openWithProgress(model: string, options: OpenOptions & HubOptions): Promise<Model> {
  return withPullProgress(`pulling ${model}`, (onProgress) => open(model, { ...options, onProgress }));
}
