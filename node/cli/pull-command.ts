import type { Command } from "commander";
import { formatBytes, pull } from "../index.ts";
import { withPullProgress } from "./pull-progress.ts";

interface PullFlags {
  readonly revision?: string;
}

export function addPullCommand(program: Command, signal: AbortSignal): void {
  program
    .command("pull")
    .description("Download a model from the Hugging Face Hub into the cache that Python's tools use too.")
    .argument("<model>", "org/name; org/name:file where it has several GGUF files, or a part of the file's name")
    .option("--revision <name>", "a branch, tag or commit; main unless given")
    .action((model: string, flags: PullFlags) => run(model, flags, signal));
}

async function run(model: string, { revision }: PullFlags, signal: AbortSignal): Promise<void> {
  const { path, repository, commit, nFiles, sizeBytes } = await withPullProgress(`pulling ${model}`, (onProgress) =>
    pull(model, { revision, signal, onProgress }),
  );
  const files = nFiles === 1 ? "1 file" : `${nFiles} files`;
  const lines = [`${repository} at ${commit.slice(0, 12)}: ${files}, ${formatBytes(sizeBytes)}`, `  ${path}`];
  process.stdout.write(`${lines.join("\n")}\n`);
}
