import type { Command } from "commander";
import { open } from "../index.ts";
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
  const model = await open(path, { backend, ignore });
  try {
    const promptTokens = model.tokenizer.encode(prompt);
    const tokens: number[] = [];
    let text = "";
    let finishReason: string | undefined;
    if (!json) process.stdout.write(prompt);
    for await (const step of model.generate(promptTokens, { maxTokens, temperature, seed, signal })) {
      tokens.push(step.token);
      text += step.text;
      finishReason = step.finishReason;
      if (!json) process.stdout.write(step.text);
    }
    const result = {
      model: model.name,
      prompt,
      prompt_tokens: promptTokens,
      tokens,
      text,
      finish_reason: finishReason,
    };
    process.stdout.write(json ? `${JSON.stringify(result)}\n` : "\n");
  } finally {
    await model.close();
  }
}
