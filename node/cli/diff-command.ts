import type { Command } from "commander";
import { diff, type Model } from "../index.ts";
import {
  type BackendFlags,
  collect,
  type EditFlags,
  number,
  withBackend,
  withEdits,
  withIgnore,
  withJson,
} from "./options.ts";
import { openWithProgress } from "./pull-progress.ts";
import { showReport } from "./show-report.ts";

interface DiffFlags extends Omit<BackendFlags, "model">, EditFlags {
  readonly on: string;
  readonly points?: string[];
  readonly threshold?: number;
  readonly json?: true;
}

export function addDiffCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("diff")
    .description("What two models of one shape do differently on a text, or a model and itself with edits.")
    .argument("<a>", "a model")
    .argument("<b>", "another, or the same one with --edit")
    .requiredOption("--on <text>", "the text that both run")
    .option("--points <glob>", "points to compare, such as blocks.*.mlp.out; may be repeated", collect)
    .option("--threshold <x>", "largest difference that does not count", number);
  withJson(withBackend(withIgnore(withEdits(command, "change a value of b")))).action(
    (a: string, b: string, flags: DiffFlags) => run(a, b, flags, signal),
  );
}

async function run(a: string, b: string, flags: DiffFlags, signal: AbortSignal): Promise<void> {
  const { backend, ignore, on, points, threshold, edit: edits, json } = flags;
  const models: Model[] = [];
  const opened = async (path: string): Promise<Model> => {
    const model = await openWithProgress(path, { backend, ignore, signal });
    models.push(model);
    return model;
  };
  try {
    const first = await opened(a);
    const second = a === b ? first : await opened(b);
    showReport(await diff(first, { model: second, edits }, on, { points, threshold, signal }), json);
  } finally {
    for (const model of models) await model.close();
  }
}
