import { fstatSync } from "node:fs";
import { createInterface, type Interface } from "node:readline";
import { RequestError } from "../index.ts";

const STDIN = 0;

/** Whether something is there to be read: a pipe or a file, neither a terminal nor nothing. */
export function isPiped(): boolean {
  const stats = fstatSync(STDIN);
  return stats.isFIFO() || stats.isFile() || stats.isSocket();
}

/** What comes on stdin, as it comes. @throws RequestError where it is not UTF-8. */
export async function* readPieces(): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    for await (const bytes of process.stdin) yield decoder.decode(bytes, { stream: true });
    yield decoder.decode();
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new RequestError("request.tokens", { path: "stdin", expected: "must be text in UTF-8", cause });
  }
}

/** Everything on stdin. @throws RequestError where it is not UTF-8. */
export async function readStdin(): Promise<string> {
  return (await Array.fromAsync(readPieces())).join("");
}

/** The lines of stdin; on a terminal with a prompt, and with keys to edit them. */
export class Lines {
  readonly #editor: Interface | undefined;
  #isOpen = true;
  #isPrompting = false;

  constructor() {
    const { stdin, stdout } = process;
    if (!stdin.isTTY || !stdout.isTTY) return;
    this.#editor = createInterface({ input: stdin, output: stdout, prompt: "> " });
    // An editor gets Ctrl-C as a key, and no signal comes.
    this.#editor.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
    this.#editor.on("line", () => {
      this.#isPrompting = false;
    });
    this.#editor.on("close", () => {
      this.#isOpen = false;
      if (this.#isPrompting) stdout.write("\n");
    });
  }

  /** Says, on a terminal, that the next line is waited for. */
  prompt(): void {
    if (this.#editor === undefined || !this.#isOpen) return;
    this.#isPrompting = true;
    this.#editor.prompt();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    yield* this.#editor ?? readLines();
  }

  /** No more lines; who waits for one gets an error where stdin is no terminal. */
  close(): void {
    this.#editor?.close();
    process.stdin.destroy();
  }
}

async function* readLines(): AsyncGenerator<string, void, undefined> {
  let rest = "";
  for await (const piece of readPieces()) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield line.replace(/\r$/, "");
  }
  if (rest !== "") yield rest;
}
