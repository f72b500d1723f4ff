import type { Command } from "commander";
import { look } from "../index.ts";
import { type BackendFlags, type EditFlags, withBackend, withEdits, withJson, withModel } from "./options.ts";
import { openWithProgress } from "./pull-progress.ts";
import { showReport } from "./show-report.ts";

interface LookFlags extends BackendFlags, EditFlags {
  readonly on?: string;
  readonly json?: true;
}

export function addLookCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("look")
    .description("Look at a neuron, a head, an expert or a layer: its weights, and on a text what it does there.")
    .argument(
      "<address>",
      "such as L2.N107, L2.H3, L2.E17, L2.E17.N5, L2.shared, L2.router, L2, L2.mlp@7; others list what there is to read",
    )
    .option("--on <text>", "a text to watch it on");
  withJson(withEdits(withBackend(withModel(command)))).action((address: string, flags: LookFlags) =>
    run(address, flags, signal),
  );
}

async function run(address: string, flags: LookFlags, signal: AbortSignal): Promise<void> {
  const { model: path, backend, ignore, on, edit: edits, json } = flags;
  const model = await openWithProgress(path, { backend, ignore, signal });
  try {
    showReport(await look(model, address, { on, signal, ...(edits && { edits }) }), json);
  } finally {
    await model.close();
  }
}
