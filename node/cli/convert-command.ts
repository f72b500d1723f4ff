import { basename } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { convert } from "../convert.ts";
import { CONVERT_TYPES, type ConvertType, formatBytes } from "../index.ts";
import { collect } from "./options.ts";
import { ProgressLine } from "./progress.ts";
import { withPullProgress } from "./pull-progress.ts";

interface ConvertFlags {
  readonly type?: ConvertType;
  readonly shardSize?: number;
  readonly ignore?: string[];
  readonly force?: true;
}

export function addConvertCommand(program: Command, signal: AbortSignal): void {
  program
    .command("convert")
    .description("Write a model in another format or type.")
    .argument("<model>", "a model's directory, its safetensors file, a GGUF file, or org/name on the Hub")
    .argument("<target>", "a file that ends in .gguf, or a folder in the layout of Hugging Face")
    .addOption(
      new Option("-t, --type <type>", "type of the weights; as the model has them unless given").choices(CONVERT_TYPES),
    )
    .option("--shard-size <size>", "most bytes of a safetensors file, such as 500MB; 5GB unless given", size)
    .option("--ignore <name>", "leave out a config key or tensor that golgi does not know; may be repeated", collect)
    .option("-f, --force", "replace the target")
    .action((model: string, target: string, flags: ConvertFlags) => run(model, target, flags, signal));
}

async function run(model: string, target: string, flags: ConvertFlags, signal: AbortSignal): Promise<void> {
  const { shardSize: shardSizeBytes, ...options } = flags;
  const progress = new ProgressLine(`writing ${basename(target)}`);
  try {
    const onProgress = (doneBytes: number, totalBytes: number): void => progress.update(doneBytes, totalBytes);
    const { type, nTensors, sizeBytes, notes } = await withPullProgress(`pulling ${model}`, (onDownload) =>
      convert(model, target, { ...options, shardSizeBytes, signal, onDownload, onProgress }),
    );
    progress.done();
    const lines = [
      `${target}: ${nTensors} tensors, ${type}, ${formatBytes(sizeBytes)}`,
      ...notes.map((note) => `  ${note}`),
    ];
    process.stdout.write(`${lines.join("\n")}\n`);
  } finally {
    progress.done();
  }
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};

/** Bytes, as transformers takes them: 500MB, 5GB, 2GiB. */
function size(text: string): number {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)\s*([KMG]I?B)?$/i.exec(text) ?? [];
  if (digits === undefined) throw new InvalidArgumentError("It must be a size, such as 500MB or 5GB.");
  return Math.floor(Number(digits) * UNITS[unit.toUpperCase()]);
}
