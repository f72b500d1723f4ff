import { type Command, Option } from "commander";
import { openFile } from "../files.ts";
import {
  ConfigError,
  describeConfig,
  describeModel,
  type HubOptions,
  type ModelInfo,
  type OpenOptions,
  printTape,
} from "../index.ts";
import { type ModelFlags, withModel } from "./options.ts";
import { openWithProgress } from "./pull-progress.ts";
import { renderInfo } from "./render-info.ts";
import { terminalWidth } from "./terminal.ts";

interface InfoFlags extends ModelFlags {
  readonly json?: true;
  readonly tape?: true;
}

export function addInfoCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("info")
    .description("Sizes, counts and cost of a model, from its files or from a config.json alone.")
    .argument("[model]", "a model's directory or file, or a config.json; --model unless given");
  withModel(command)
    .addOption(new Option("--tape", "print the model as a tensor program").conflicts("json"))
    .option("--json", "print one JSON object")
    .action((path: string | undefined, flags: InfoFlags) => {
      if (path !== undefined && command.getOptionValueSource("model") === "cli") {
        command.error("error: name one model, either as the argument or with --model");
      }
      return run(path ?? flags.model, flags, signal);
    });
}

async function run(path: string, { ignore, json, tape: printsTape }: InfoFlags, signal: AbortSignal): Promise<void> {
  const info = path.endsWith(".json") ? await fromConfig(path, ignore) : await fromModel(path, { ignore, signal });
  if (printsTape) {
    process.stdout.write(`${printTape(info.tape)}\n`);
    return;
  }
  const { tape: _tape, ...numbers } = info;
  process.stdout.write(`${json ? JSON.stringify(numbers) : renderInfo(path, info, terminalWidth())}\n`);
}

async function fromModel(path: string, options: OpenOptions & HubOptions): Promise<ModelInfo> {
  const model = await openWithProgress(path, options);
  try {
    return describeModel(model);
  } finally {
    await model.close();
  }
}

async function fromConfig(path: string, ignore: readonly string[] | undefined): Promise<ModelInfo> {
  const source = await openFile(path);
  const bytes = await source.read(0, source.sizeBytes).finally(() => source.close());
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    const got = (cause as Error).message;
    throw new ConfigError("config.value", { path, expected: "must be JSON in UTF-8", got, cause });
  }
  return describeConfig(json, path, ignore);
}
