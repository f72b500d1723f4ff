import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import {
  CheckpointError,
  ConfigError,
  describeConfig,
  describeModel,
  type ModelInfo,
  open,
  printTape,
} from "../index.ts";
import { type ModelFlags, withModel } from "./options.ts";
import { renderInfo } from "./render-info.ts";

interface InfoFlags extends ModelFlags {
  readonly json?: true;
  readonly tape?: true;
}

export function addInfoCommand(program: Command): void {
  const command = program
    .command("info")
    .description("Sizes, counts and cost of a model, from its files or from a config.json alone.")
    .argument("[model]", "a model's directory or file, or a config.json; --model unless given");
  withModel(command)
    .option("--tape", "print the model as a tensor program")
    .option("--json", "print one JSON object")
    .action((path: string | undefined, flags: InfoFlags) => run(path ?? flags.model, flags));
}

async function run(path: string, { backend, ignore, json, tape: printsTape }: InfoFlags): Promise<void> {
  const info = path.endsWith(".json") ? await fromConfig(path, ignore) : await fromModel(path, { backend, ignore });
  if (printsTape) {
    process.stdout.write(`${printTape(info.tape)}\n`);
    return;
  }
  const { tape: _tape, ...numbers } = info;
  process.stdout.write(`${json ? JSON.stringify(numbers) : renderInfo(path, info)}\n`);
}

async function fromModel(path: string, options: { backend: string; ignore?: string[] }): Promise<ModelInfo> {
  const model = await open(path, options);
  try {
    return describeModel(model);
  } finally {
    await model.close();
  }
}

async function fromConfig(path: string, ignore: string[] | undefined): Promise<ModelInfo> {
  const text = await readFile(path, "utf8").catch((cause) => {
    throw new CheckpointError("checkpoint.missing", { path, expected: "the file must be readable", cause });
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError("config.value", { path, expected: "must be JSON", got: `${cause}`, cause });
  }
  return describeConfig(json, path, ignore);
}
