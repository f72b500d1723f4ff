import { type Command, Option } from "commander";
import { type Model, type PatchMetric, patch } from "../index.ts";
import { type BackendFlags, collect, withBackend, withJson, withModel } from "./options.ts";
import { formatDuration, StatusLine } from "./progress.ts";
import { openWithProgress } from "./pull-progress.ts";
import { showReport } from "./show-report.ts";

interface PatchFlags extends BackendFlags {
  readonly clean: string;
  readonly corrupted: string;
  readonly points: string[];
  readonly positions?: "each" | "all";
  readonly answer?: string;
  readonly wrong?: string;
  readonly json?: true;
}

export function addPatchCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("patch")
    .description("Run one text with values of another, one at a time, and see which bring its answer.")
    .requiredOption("--clean <text>", "the text that values are taken from")
    .requiredOption("--corrupted <text>", "the text that they are put into, of as many tokens")
    .requiredOption("--points <glob>", "what is patched: L*.H*, L2.N*, blocks.*.residPre; may be repeated", collect)
    .addOption(new Option("--positions <which>", "each token by itself, or all at once").choices(["each", "all"]))
    .option("--answer <token>", "the token that the clean text is to bring; its likeliest next unless given")
    .option("--wrong <token>", "the token whose logit is taken off; the corrupted text's likeliest unless given");
  withJson(withBackend(withModel(command))).action((flags: PatchFlags) => {
    if (flags.wrong !== undefined && flags.answer === undefined) command.error("error: --wrong needs --answer");
    return run(flags, signal);
  });
}

async function run(flags: PatchFlags, signal: AbortSignal): Promise<void> {
  const { model: path, backend, ignore, answer, wrong, json, clean, corrupted, points, positions } = flags;
  const model = await openWithProgress(path, { backend, ignore, signal });
  const line = new StatusLine();
  try {
    const metric = answer === undefined ? await likeliest(model, flags, signal) : { answer, wrong };
    const options = { clean, corrupted, points, positions, metric, signal };
    const report = await patch(model, {
      ...options,
      onProgress: ({ nDone, nTotal, etaMs }) =>
        line.update(`patching  ${nDone} of ${nTotal} runs  ${formatDuration(etaMs / 1000)} left`),
    });
    line.done();
    showReport(report, json);
  } finally {
    line.done();
    await model.close();
  }
}

/** What the model itself goes on with after either text. */
async function likeliest(model: Model, { clean, corrupted }: PatchFlags, signal: AbortSignal): Promise<PatchMetric> {
  const next = async (text: string): Promise<number> => {
    for await (const { token } of model.generate(text, { maxTokens: 1, signal })) return token;
    throw signal.reason;
  };
  const [answer, wrong] = [await next(clean), await next(corrupted)];
  return answer === wrong ? { answer } : { answer, wrong };
}
