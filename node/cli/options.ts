import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, InvalidArgumentError } from "commander";

/** What the commands that open a model have in common. */
export interface ModelFlags {
  readonly model: string;
  readonly backend: string;
  readonly ignore?: string[];
}

export interface GenerationFlags extends ModelFlags {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed?: number;
  readonly json?: true;
}

export function withModel(command: Command): Command {
  return command
    .option("-m, --model <path>", "directory or safetensors file of a model", defaultModel())
    .option("--backend <name>", "what computes: reference", "reference")
    .option("--ignore <name...>", "config keys and tensors to leave out though golgi does not know them");
}

export function withGeneration(command: Command, maxTokens: number): Command {
  return withModel(command)
    .option("-n, --max-tokens <n>", "most tokens to generate", positiveInteger, maxTokens)
    .option("-t, --temperature <x>", "0 takes the likeliest token; higher draws more freely", nonNegative, 0)
    .option("--seed <n>", "makes drawing repeatable", wholeNumber)
    .option("--json", "print one JSON object");
}

/** The model that golgi ships, used where none is named. */
function defaultModel(): string {
  return join(packageRoot(), "models", "stories260K");
}

/** The nearest folder above with a package.json, from src or from dist. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json")) && folder !== dirname(folder)) folder = dirname(folder);
  return folder;
}

export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text);
}

export function positiveInteger(text: string): number {
  const value = wholeNumber(text);
  if (value < 1) throw new InvalidArgumentError("It must be at least 1.");
  return value;
}

function nonNegative(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0)) throw new InvalidArgumentError("It must be a number from 0 up.");
  return value;
}
