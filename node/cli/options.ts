import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { GenerateOptions } from "../index.ts";

/** What the commands that open a model have in common. */
export interface ModelFlags {
  readonly model: string;
  readonly ignore?: string[];
}

export interface EditFlags {
  readonly edit?: string[];
}

export interface BackendFlags extends ModelFlags {
  readonly backend?: string;
}

export interface GenerationFlags extends BackendFlags {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed?: number;
}

/** Named as the library's options, whose ranges the library checks. */
export interface SamplingFlags
  extends Pick<GenerateOptions, "topK" | "topP" | "minP" | "typicalP" | "repetitionPenalty" | "repetitionWindow">,
    Pick<GenerateOptions, "frequencyPenalty" | "presencePenalty" | "order"> {
  readonly stop?: string[];
}

export function withModel(command: Command): Command {
  const model = new Option("-m, --model <path>", "a model's directory or file, or org/name of the Hub");
  return withIgnore(command.addOption(model.default(defaultModel(), "stories260K, which comes with golgi")));
}

export function withIgnore(command: Command): Command {
  const description = "leave out a config key or tensor that golgi does not know; may be repeated";
  return command.option("--ignore <name>", description, collect);
}

export function withBackend(command: Command): Command {
  return command.option(
    "--backend <name>",
    "what computes: native (C++) or reference (plain loops); native where it is built",
  );
}

export function withGeneration(command: Command, maxTokens: number): Command {
  return withBackend(withModel(command))
    .option("-n, --max-tokens <n>", "most tokens to generate", positiveInteger, maxTokens)
    .option("-t, --temperature <x>", "0 takes the likeliest token; higher draws more freely", nonNegative, 0)
    .option("--seed <n>", "makes drawing repeatable", seed);
}

export function withEdits(command: Command, what = "change a value while it runs"): Command {
  return command.option("--edit <edit>", `${what}: "L2.N107 = 0"; may be repeated`, collect);
}

export function withJson(command: Command): Command {
  return command.option("--json", "print one JSON object");
}

export function withSampling(command: Command): Command {
  return command
    .option("--stop <text>", "end before this text comes; may be repeated", collect)
    .optionsGroup("Sampling, at a temperature above 0:")
    .option("--top-k <n>", "draw from the n likeliest tokens", number)
    .option("--top-p <p>", "draw from the likeliest that reach this probability together", number)
    .option("--min-p <p>", "draw from those with this share of the likeliest's probability", number)
    .option("--typical-p <p>", "as --top-p, those nearest to the mean surprise first", number)
    .option("--order <stages>", "huggingface, llama.cpp, or stages: top-k,temperature,...", order)
    .optionsGroup("Penalties:")
    .option("--repetition-penalty <x>", "divides the logits of tokens that came before", number)
    .option("--repetition-window <n>", "of how many last tokens; all unless given", number)
    .option("--frequency-penalty <x>", "taken off a logit each time its token was generated", number)
    .option("--presence-penalty <x>", "taken off once if its token was generated", number)
    .optionsGroup("");
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

/** One name for each mention of an option; a list after one mention would swallow the prompt. */
export function collect(name: string, names: readonly string[] = []): string[] {
  return [...names, name];
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw new InvalidArgumentError("It must be a whole number.");
  return value;
}

function positiveInteger(text: string): number {
  const value = wholeNumber(text);
  if (value < 1) throw new InvalidArgumentError("It must be at least 1.");
  return value;
}

function seed(text: string): number {
  const value = wholeNumber(text);
  if (value >= 2 ** 32) throw new InvalidArgumentError("It must be less than 2^32.");
  return value;
}

export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
}

/** A preset's name, or stages separated by commas, spelled as options (top-k) or as in the library (topK). */
function order(text: string): GenerateOptions["order"] {
  const names = text.split(",").map((name) => name.trim().replace(/-(.)/g, (_, letter) => letter.toUpperCase()));
  return (names.length > 1 ? names : text) as GenerateOptions["order"];
}

function nonNegative(text: string): number {
  const value = Number(text);
  const isNumber = text.trim() !== "" && Number.isFinite(value) && value >= 0;
  if (!isNumber) throw new InvalidArgumentError("It must be a number from 0 up.");
  return value;
}
