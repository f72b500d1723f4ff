import { type Command, Option } from "commander";
import { type Model, router, routerDiff } from "../index.ts";
import {
  type BackendFlags,
  type EditFlags,
  wholeNumber,
  withBackend,
  withEdits,
  withIgnore,
  withJson,
} from "./options.ts";
import { openWithProgress } from "./pull-progress.ts";
import { showReport } from "./show-report.ts";

interface RouterFlags extends Omit<BackendFlags, "model">, EditFlags {
  readonly on: string;
  readonly layer?: number[];
  readonly of?: string;
  readonly at?: number;
  readonly against?: string;
  readonly json?: true;
}

export function addRouterCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("router")
    .description("Which experts each token of a text goes to, how close the choice was, and what came of it.")
    .argument("<model>", "a model with experts")
    .requiredOption("--on <text>", "the text")
    .option("--layer <n>", "a layer to look at; all that have experts unless given; may be repeated", collectNumber)
    .option("--of <token>", "the token whose logit to take apart; the likeliest next unless given")
    .option("--at <position>", "where that logit is, counted from 0; the last token unless given", wholeNumber)
    .addOption(
      new Option("--against <model>", "tell where this model, with the edits, sends tokens elsewhere").conflicts([
        "of",
        "at",
      ]),
    );
  withJson(withBackend(withIgnore(withEdits(command)))).action((path: string, flags: RouterFlags) =>
    run(path, flags, signal),
  );
}

function collectNumber(value: string, previous: number[] = []): number[] {
  return [...previous, wholeNumber(value)];
}

async function run(path: string, flags: RouterFlags, signal: AbortSignal): Promise<void> {
  const { backend, ignore, on, layer: layers, of, at: position, against, edit: edits, json } = flags;
  const models: Model[] = [];
  const opened = async (name: string): Promise<Model> => {
    const model = await openWithProgress(name, { backend, ignore, signal });
    models.push(model);
    return model;
  };
  try {
    const model = await opened(path);
    if (against === undefined) {
      return showReport(await router(model, on, { layers, of, position, edits, signal }), json);
    }
    const other = against === path ? model : await opened(against);
    showReport(await routerDiff(model, { model: other, edits }, on, { layers, signal }), json);
  } finally {
    for (const model of models) await model.close();
  }
}
