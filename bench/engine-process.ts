import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { EngineSettings } from "./engines/engine.ts";
import type { WorkerAnswer, WorkerCall, WorkerResults } from "./worker.ts";

/** An engine in a process of its own. One call at a time. */
export class EngineProcess {
  readonly #child: ChildProcess;
  #stderr = "";
  #onAnswer: ((answer: WorkerAnswer) => void) | undefined;
  #ended: string | undefined;

  private constructor(settings: EngineSettings) {
    const file = fileURLToPath(new URL("./worker.ts", import.meta.url));
    this.#child = fork(file, [JSON.stringify(settings)], { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    this.#child.stderr?.on("data", (text: Buffer) => {
      this.#stderr = `${this.#stderr}${text}`.slice(-2000);
    });
    this.#child.on("message", (answer) => this.#settle(answer as WorkerAnswer));
    // After "close" all that it wrote to stderr has arrived.
    this.#child.on("close", (code, signal) => {
      this.#ended = `its process ended (${signal ?? `exit code ${code}`})${lastLines(this.#stderr)}`;
      this.#settle({ error: this.#ended });
    });
  }

  static async start(settings: EngineSettings): Promise<EngineProcess> {
    const started = new EngineProcess(settings);
    await started.#answer(60);
    return started;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** @throws Error where the call fails, the process ends, or nothing comes back in time. */
  async ask<C extends WorkerCall["call"]>(
    message: Extract<WorkerCall, { call: C }>,
    timeoutSeconds = 300,
  ): Promise<WorkerResults[C]> {
    if (this.#ended !== undefined) throw new Error(this.#ended);
    this.#child.send(message);
    return (await this.#answer(timeoutSeconds)) as WorkerResults[C];
  }

  /** Ends the process, gently where it still answers. */
  async stop(): Promise<void> {
    if (this.#ended !== undefined) return;
    await this.ask({ call: "close" }, 10).catch(() => {});
    this.#child.kill("SIGKILL");
  }

  async #answer(timeoutSeconds: number): Promise<unknown> {
    const answer = await new Promise<WorkerAnswer>((resolve) => {
      const timer = setTimeout(() => {
        this.#child.kill("SIGKILL");
        this.#settle({ error: `no answer within ${timeoutSeconds} s` });
      }, timeoutSeconds * 1000);
      this.#onAnswer = (given) => {
        clearTimeout(timer);
        resolve(given);
      };
      if (this.#ended !== undefined) this.#settle({ error: this.#ended });
    });
    if ("error" in answer) throw new Error(answer.error);
    return answer.result;
  }

  #settle(answer: WorkerAnswer): void {
    const onAnswer = this.#onAnswer;
    this.#onAnswer = undefined;
    onAnswer?.(answer);
  }
}

/** Of what a process said before it ended: the error itself rather than its stack. */
function lastLines(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !/^\s+at /.test(line));
  const error = lines.find((line) => /error/i.test(line)) ?? lines.at(-1);
  return error === undefined ? "" : `: ${error.trim()}`;
}
