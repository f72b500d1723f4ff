import type { Command } from "commander";
import { explain } from "../index.ts";
import { type BackendFlags, type EditFlags, withBackend, withEdits, withJson, withModel } from "./options.ts";
import { openWithProgress } from "./pull-progress.ts";
import { showReport } from "./show-report.ts";

interface ExplainFlags extends BackendFlags, EditFlags {
  readonly on: string;
  readonly json?: true;
}

export function addExplainCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("explain")
    .description("Where one number comes from, as an exact sum of what went into it.")
    .argument("<address>", "a neuron L2.N107@7, a head L2.H3@7, or a logit logits[262]@7; the last token without @")
    .requiredOption("--on <text>", "the text that it is a number of");
  withJson(withEdits(withBackend(withModel(command)))).action((address: string, flags: ExplainFlags) =>
    run(address, flags, signal),
  );
}

async function run(address: string, flags: ExplainFlags, signal: AbortSignal): Promise<void> {
  const { model: path, backend, ignore, on, edit: edits, json } = flags;
  const model = await openWithProgress(path, { backend, ignore, signal });
  try {
    showReport(await explain(model, address, on, { edits, signal }), json);
  } finally {
    await model.close();
  }
}
