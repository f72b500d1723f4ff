import type { Command } from "commander";
import { type FinishReason, open } from "../index.ts";
import { type GenerationFlags, withGeneration } from "./options.ts";

export function addRunCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("run")
    .description("Continue a text with a model.")
    .argument("<prompt>", 'text to continue; "" starts from nothing');
  withGeneration(command, 200).action((prompt: string, flags: GenerationFlags) => run(prompt, flags, signal));
}

async function run(prompt: string, flags: GenerationFlags, signal: AbortSignal): Promise<void> {
  const { model: path, backend, ignore, maxTokens, temperature, seed, json } = flags;
  const show = (text: string): void => {
    if (!json) process.stdout.write(text);
  };
  const model = await open(path, { backend, ignore });
  try {
    const promptTokens = model.tokenizer.encode(prompt);
    const tokens: number[] = [];
    let text = "";
    let finishReason: FinishReason | "interrupted" | undefined;
    try {
      for await (const step of model.generate(promptTokens, { maxTokens, temperature, seed, signal })) {
        // Not before the first step, which refuses a prompt that the model cannot take.
        if (tokens.length === 0) show(prompt);
        tokens.push(step.token);
        text += step.text;
        finishReason = step.finishReason;
        show(step.text);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
      finishReason = "interrupted";
    } finally {
      if (tokens.length > 0) show("\n");
    }
    if (json) {
      const { name } = model;
      const result = { model: name, prompt, prompt_tokens: promptTokens, tokens, text, finish_reason: finishReason };
      process.stdout.write(`${JSON.stringify(result)}\n`);
    }
    signal.throwIfAborted();
  } finally {
    await model.close();
  }
}
