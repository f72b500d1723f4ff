import type { Command } from "commander";
import type { Chat, ChatMessage, GenerateOptions, Session } from "../index.ts";
import { type ChatFlags, chatStart, withChat } from "./chat-options.ts";
import {
  type EditFlags,
  type GenerationFlags,
  type SamplingFlags,
  withEdits,
  withGeneration,
  withSampling,
} from "./options.ts";
import { openWithProgress } from "./pull-progress.ts";
import { Lines } from "./stdin.ts";

interface Flags extends GenerationFlags, SamplingFlags, ChatFlags, EditFlags {
  readonly debug?: true;
}

export function addChatCommand(program: Command, signal: AbortSignal): void {
  const command = program
    .command("chat")
    .description("Talk with a model, line by line. /exit or Ctrl-D ends; Ctrl-C stops an answer, and ends after that.");
  withSampling(withChat(withEdits(withGeneration(command, 1000)))).action((flags: Flags) => chat(flags, signal));
}

/** `signal` is that of the first Ctrl-C, which may have stopped an answer only: it says how a chat ends that is over. */
async function chat(flags: Flags, signal: AbortSignal): Promise<void> {
  const { model: path, backend, ignore, system, template, edit: edits, debug: _debug, ...options } = flags;
  const start = await chatStart({ system, template });
  const model = await openWithProgress(path, { backend, ignore, signal });
  const [session, lines] = [model.session({ edits }), new Lines()];
  const interrupts = new Interrupts(() => lines.close());
  const messages = [...start.messages];
  try {
    // Says at once what is missing.
    model.chatTemplate.source(start);
    lines.prompt();
    for await (const line of lines) {
      if (line.trim() === "/exit") break;
      if (line.trim() !== "") {
        messages.push({ role: "user", content: line });
        messages.push(await answer(session, { ...start, messages }, { ...options, signal: interrupts.answerStarts() }));
        interrupts.answerEnds();
      }
      lines.prompt();
    }
  } catch (error) {
    if (!interrupts.isOver) throw error;
  } finally {
    interrupts.close();
    lines.close();
    session.close();
    await model.close();
  }
  if (interrupts.isOver) signal.throwIfAborted();
}

/** Writes the answer as it comes; one that is stopped is what there is of it. */
async function answer(session: Session, chat: Chat, options: GenerateOptions): Promise<ChatMessage> {
  let content = "";
  try {
    for await (const step of session.generate(chat, options)) {
      content += step.text;
      process.stdout.write(step.text);
    }
  } catch (error) {
    if (!options.signal?.aborted) throw error;
  }
  process.stdout.write("\n");
  return { role: "assistant", content };
}

/** What Ctrl-C does: it stops the answer under way; where there is none, or it was stopped already, the chat is over. */
class Interrupts {
  readonly #onOver: () => void;
  #answer: AbortController | undefined;
  #isOver = false;

  constructor(onOver: () => void) {
    this.#onOver = onOver;
    process.on("SIGINT", this.#onInterrupt);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  answerStarts(): AbortSignal {
    this.#answer = new AbortController();
    return this.#answer.signal;
  }

  answerEnds(): void {
    this.#answer = undefined;
  }

  close(): void {
    process.off("SIGINT", this.#onInterrupt);
  }

  readonly #onInterrupt = (): void => {
    if (this.#answer !== undefined && !this.#answer.signal.aborted) {
      this.#answer.abort();
      return;
    }
    this.#isOver = true;
    this.#onOver();
  };
}
