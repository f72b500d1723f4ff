import type { Command } from "commander";
import { openFile } from "../files.ts";
import { type Chat, CheckpointError } from "../index.ts";

export interface ChatFlags {
  readonly system?: string;
  /** A file. */
  readonly template?: string;
}

export function withChat(command: Command): Command {
  return command
    .option("--system <text>", "what the model is told before the conversation")
    .option("--template <file>", "a chat template in Jinja, in place of the model's");
}

/** What every chat of a command begins with, and is rendered by. */
export async function chatStart({ system, template }: ChatFlags): Promise<Pick<Chat, "messages" | "template">> {
  return {
    messages: system === undefined ? [] : [{ role: "system", content: system }],
    template: template === undefined ? undefined : await readTemplate(template),
  };
}

async function readTemplate(path: string): Promise<string> {
  const source = await openFile(path);
  const bytes = await source.read(0, source.sizeBytes).finally(() => source.close());
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new CheckpointError("checkpoint.chatTemplate", { path, expected: "must be text in UTF-8", cause });
  }
}
