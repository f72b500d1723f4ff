import type { Command } from "commander";
import { trace } from "../index.ts";
import { type GenerationFlags, wholeNumber, withGeneration, withJson } from "./options.ts";
import { openWithProgress } from "./pull-progress.ts";
import { renderTrace } from "./render-trace.ts";
import { terminalWidth } from "./terminal.ts";

const DEFAULT_PROMPT = "Lily and her mom went to the park. She saw a big";

interface TraceFlags extends GenerationFlags {
  readonly at?: number;
  readonly json?: true;
}

export function addTraceCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("trace")
    .description("Continue a text, and show how each layer came to the next token.")
    .argument("[prompt]", "text to continue", DEFAULT_PROMPT)
    .option("--at <position>", "token to look at, counted from 0; the prompt's last unless given", wholeNumber);
  withJson(withGeneration(command, 40)).action((prompt: string, flags: TraceFlags) => run(prompt, flags, signal));
}

async function run(prompt: string, flags: TraceFlags, signal: AbortSignal): Promise<void> {
  const { model: path, backend, ignore, maxTokens, temperature, seed, json, at: position } = flags;
  const model = await openWithProgress(path, { backend, ignore, signal });
  try {
    const options = { maxTokens, temperature, seed, signal, position, nPredictions: 8, nNeurons: 8, nEdges: 8 };
    const result = await trace(model, prompt, options);
    const { name, architecture, config } = model;
    const header = { name, architecture, backend: model.backend, config };
    const text = json ? JSON.stringify({ model: header, ...result }) : renderTrace(header, result, terminalWidth());
    process.stdout.write(`${text}\n`);
  } finally {
    await model.close();
  }
}
