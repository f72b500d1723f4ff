import type { Command } from "commander";
import { type FinishReason, type GenerationStep, open } from "../index.ts";
import { type GenerationFlags, type SamplingFlags, withGeneration, withSampling } from "./options.ts";

interface RunFlags extends GenerationFlags, SamplingFlags {
  readonly debug?: true;
}

export function addRunCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("run")
    .description("Continue a text with a model.")
    .argument("<prompt>", 'text to continue; "" starts from nothing');
  withSampling(withGeneration(command, 200)).action((prompt: string, flags: RunFlags) => {
    if (flags.logprobs !== undefined && !flags.json) command.error("error: --logprobs needs --json");
    return run(prompt, flags, signal);
  });
}

async function run(prompt: string, flags: RunFlags, signal: AbortSignal): Promise<void> {
  const { model: path, backend, ignore, json, debug: _debug, ...options } = flags;
  const show = (text: string): void => {
    if (!json) process.stdout.write(text);
  };
  const model = await open(path, { backend, ignore });
  try {
    const promptTokens = model.tokenizer.encode(prompt);
    const steps: Pick<GenerationStep, "token" | "logprob" | "logprobs">[] = [];
    let text = "";
    let finishReason: FinishReason | "interrupted" | undefined;
    let stopReason: number | string | undefined;
    try {
      for await (const step of model.generate(promptTokens, { ...options, signal })) {
        // Not before the first step, which refuses a prompt that the model cannot take.
        if (steps.length === 0) show(prompt);
        steps.push({ token: step.token, logprob: step.logprob, logprobs: step.logprobs });
        text += step.text;
        ({ finishReason, stopReason } = step);
        show(step.text);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
      finishReason = "interrupted";
    } finally {
      if (steps.length > 0) show("\n");
    }
    if (json) {
      const tokens = steps.map((step) => step.token);
      const result = { model: model.name, prompt, prompt_tokens: promptTokens, tokens, text };
      const logprobs = options.logprobs && steps.map(({ logprob, logprobs }) => ({ logprob, top: logprobs }));
      const end = { finish_reason: finishReason, stop_reason: stopReason, logprobs };
      process.stdout.write(`${JSON.stringify({ ...result, ...end })}\n`);
    }
    signal.throwIfAborted();
  } finally {
    await model.close();
  }
}
