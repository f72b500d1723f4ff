import type { Command } from "commander";
import type { FinishReason, GenerationStep, Prompt } from "../index.ts";
import { type ChatFlags, chatStart, withChat } from "./chat-options.ts";
import {
  type EditFlags,
  type GenerationFlags,
  number,
  type SamplingFlags,
  withEdits,
  withGeneration,
  withJson,
  withSampling,
} from "./options.ts";
import { openWithProgress } from "./pull-progress.ts";
import { isPiped, readStdin } from "./stdin.ts";

interface RunFlags extends GenerationFlags, SamplingFlags, ChatFlags, EditFlags {
  readonly chat?: true;
  readonly logprobs?: number;
  readonly json?: true;
  readonly debug?: true;
}

export function addRunCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("run")
    .description("Continue a text with a model.")
    .argument("[prompt]", 'text to continue; "" starts from nothing, - reads it from stdin, as does a pipe');
  withEdits(withGeneration(command, 200))
    .option("--chat", "answer the prompt as a question, by the model's chat template")
    .option("--logprobs <n>", "list the n likeliest tokens of each step in the JSON", number);
  withSampling(withChat(withJson(command))).action(async (given: string | undefined, flags: RunFlags) => {
    if (flags.logprobs !== undefined && !flags.json) command.error("error: --logprobs needs --json");
    for (const name of ["system", "template"] as const) {
      if (flags[name] !== undefined && !flags.chat) command.error(`error: --${name} needs --chat`);
    }
    if (given === undefined && !isPiped()) command.error("error: missing required argument 'prompt'");
    return run(given === undefined || given === "-" ? await readStdin() : given, flags, signal);
  });
}

async function run(prompt: string, flags: RunFlags, signal: AbortSignal): Promise<void> {
  const { model: path, backend, ignore, json, chat, system, template, edit: edits, debug: _debug, ...options } = flags;
  const show = (text: string): void => {
    if (!json) process.stdout.write(text);
  };
  const input = chat ? await question(prompt, { system, template }) : prompt;
  const model = await openWithProgress(path, { backend, ignore, signal });
  try {
    const promptTokens = model.encode(input);
    const steps: Pick<GenerationStep, "token" | "logprob" | "logprobs">[] = [];
    let text = "";
    let finishReason: FinishReason | "interrupted" | undefined;
    let stopReason: number | string | undefined;
    try {
      for await (const step of model.generate(promptTokens, { ...options, edits, signal })) {
        // Not before the first step, which refuses a prompt that the model cannot take.
        if (steps.length === 0 && !chat) show(prompt);
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

async function question(content: string, flags: ChatFlags): Promise<Prompt> {
  const { messages, template } = await chatStart(flags);
  return { messages: [...messages, { role: "user", content }], template };
}
