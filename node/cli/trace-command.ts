import { type Command, Option } from "commander";
import { maxPageTokens, type TracedModel } from "../html/trace-data.ts";
import { tracePage } from "../html/trace-page.ts";
import { formatBytes, type Model, type TraceOptions, trace, traceText } from "../index.ts";
import { writeAtomically, writeFileDurably } from "../write-atomically.ts";
import { type EditFlags, type GenerationFlags, wholeNumber, withEdits, withGeneration, withJson } from "./options.ts";
import { openWithProgress } from "./pull-progress.ts";
import { renderTrace } from "./render-trace.ts";
import { terminalWidth } from "./terminal.ts";

const DEFAULT_PROMPT = "Lily and her mom went to the park. She saw a big";

interface TraceFlags extends GenerationFlags, EditFlags {
  readonly at?: number;
  readonly html?: string;
  readonly json?: true;
}

export function addTraceCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("trace")
    .description("Continue a text, and show how each layer came to the next token.")
    .argument("[prompt]", "text to continue", DEFAULT_PROMPT)
    .option("--at <position>", "token to look at, counted from 0; the prompt's last unless given", wholeNumber)
    .addOption(new Option("--html <file>", "write a page that shows every token, layer and head").conflicts("json"));
  withJson(withEdits(withGeneration(command, 40))).action((prompt: string, flags: TraceFlags) =>
    run(prompt, flags, signal),
  );
}

async function run(prompt: string, flags: TraceFlags, signal: AbortSignal): Promise<void> {
  const { model: path, backend, ignore, maxTokens, temperature, seed, json, html, at: position, edit: edits } = flags;
  const model = await openWithProgress(path, { backend, ignore, signal });
  try {
    const options = { maxTokens, temperature, seed, signal, position, edits, nPredictions: 8, nNeurons: 8, nEdges: 8 };
    const { name, architecture, config } = model;
    const header = { name, architecture, backend: model.backend, config, edits: edits ?? [] };
    if (html !== undefined) return await writePage(html, model, header, prompt, options);
    const result = await trace(model, prompt, options);
    const text = json ? JSON.stringify({ model: header, ...result }) : renderTrace(header, result, terminalWidth());
    process.stdout.write(`${text}\n`);
  } finally {
    await model.close();
  }
}

async function writePage(
  file: string,
  model: Model,
  header: TracedModel,
  prompt: string,
  options: TraceOptions,
): Promise<void> {
  const result = await traceText(model, prompt, { ...options, maxTextTokens: maxPageTokens(model.config) });
  const bytes = new TextEncoder().encode(tracePage(header, result));
  await writeAtomically(file, (temporary) => writeFileDurably(temporary, [bytes]));
  const { nLayers, nHeads } = model.config;
  const contents = `${result.tokens.length} tokens, ${nLayers} layers of ${nHeads} heads`;
  process.stdout.write(`${file}: ${contents}, ${formatBytes(bytes.length)}; open it in a browser\n`);
}
