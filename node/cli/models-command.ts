import type { Command } from "commander";
import { type CachedModel, listCachedModels } from "../hub/cached-models.ts";
import { readSettings } from "../hub/settings.ts";
import { formatBytes, padEnd, padStart } from "../index.ts";
import { paint, printable } from "./terminal.ts";

interface ModelsFlags {
  readonly json?: true;
}

export function addModelsCommand(program: Command): void {
  program
    .command("models")
    .description("List the models of the Hugging Face Hub that are on this machine; --model takes their names.")
    .option("--json", "print one JSON array")
    .action((flags: ModelsFlags) => run(flags));
}

async function run({ json }: ModelsFlags): Promise<void> {
  const settings = readSettings();
  const models = await listCachedModels(settings);
  if (json) {
    process.stdout.write(`${JSON.stringify(models)}\n`);
  } else if (models.length === 0) {
    process.stdout.write(`No models in ${settings.cacheFolder}; golgi pull org/name brings one.\n`);
  } else {
    process.stdout.write(`${renderModels(models)}\n`);
  }
}

/** Names stand last, whole, to be copied. */
function renderModels(models: readonly CachedModel[]): string {
  const rows = models.map(({ sizeBytes, format, type, commit, complete, name }) => [
    formatBytes(sizeBytes),
    format ?? "",
    type ?? "",
    commit?.slice(0, 8) ?? "",
    printable(complete ? name : `${name} (incomplete)`),
  ]);
  const header = ["size", "format", "type", "commit", "name"];
  const widths = header.map((title, i) =>
    Math.max(...[title, ...rows.map((row) => row[i])].map((text) => text.length)),
  );
  const line = (row: readonly string[]): string =>
    row.map((text, i) => (i === 0 ? padStart : padEnd)(text, i === row.length - 1 ? 0 : widths[i])).join("  ");
  return [paint("dim", line(header)), ...rows.map(line)].join("\n");
}
