import type { Host } from "../host.ts";
import type { Append, Executor, StepRequest } from "./executor.ts";
import type { Run } from "./result.ts";

/** Tokens of some sequences that wait for their step. */
interface Job {
  readonly appends: readonly Append[];
  readonly request: StepRequest;
  readonly signal: AbortSignal | undefined;
  resolve(run: Run): void;
  reject(reason: unknown): void;
}

/** Most rows that jobs may have together to share a step; one job alone may have more. */
const MAX_SHARED_ROWS = 512;

/**
 * Continuous batching: while one step runs, further requests wait; those of one kind then share the next step, so that
 * many conversations read the weights once. Steps and other work on the engine happen one after another.
 */
export class Scheduler {
  readonly #executor: Executor;
  readonly #host: Host;
  #waiting: (Job | (() => void | Promise<void>))[] = [];
  /** The loop that has the engine; the others are over, or wait for a function of a caller. */
  #inCharge: symbol | undefined;

  constructor(executor: Executor, host: Host) {
    this.#executor = executor;
    this.#host = host;
  }

  /** Appends tokens to each sequence; if it fails or is aborted, the sequences are as before. */
  step(appends: readonly Append[], request: StepRequest, signal?: AbortSignal): Promise<Run> {
    return new Promise((resolve, reject) => this.#enqueue({ appends, request, signal, resolve, reject }));
  }

  /** Runs `task` between steps, after everything that was asked for before. */
  exclusive<T>(task: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) =>
      this.#enqueue(async () => {
        try {
          resolve(await task());
        } catch (error) {
          reject(error);
        }
      }),
    );
  }

  #enqueue(work: Job | (() => Promise<void>)): void {
    this.#waiting.push(work);
    if (this.#inCharge === undefined) this.#drain();
  }

  async #drain(): Promise<void> {
    const loop = Symbol("loop");
    this.#inCharge = loop;
    // Whoever asks in the same turn may share the first step.
    await Promise.resolve();
    while (this.#inCharge === loop) {
      const first = this.#waiting.shift();
      if (first === undefined) {
        this.#inCharge = undefined;
        return;
      }
      if (typeof first === "function") await first();
      else await this.#runJobs([first, ...this.#companions(first)], loop);
      // Those who were served ask for their next step before it is decided who shares it.
      if (this.#waiting.length > 0 || typeof first !== "function") await this.#host.pause();
    }
  }

  /** Runs a function of a caller in the middle of a step of `loop`; while it waits for something, others have the engine. */
  async #aside<T>(loop: symbol, call: () => T | Promise<T>): Promise<T> {
    const result = call();
    if (typeof (result as PromiseLike<T> | undefined)?.then !== "function") return result;
    this.#inCharge = undefined;
    if (this.#waiting.length > 0) this.#drain();
    try {
      return await result;
    } finally {
      await this.#takeCharge(loop);
    }
  }

  /** Once what runs now has ended, `loop` goes on. */
  async #takeCharge(loop: symbol): Promise<void> {
    if (this.#inCharge === undefined) {
      this.#inCharge = loop;
      return;
    }
    await new Promise<void>((resolve) => {
      this.#waiting.unshift(() => {
        this.#inCharge = loop;
        resolve();
      });
    });
  }

  /** Takes the waiting jobs that can share a step with `first`. */
  #companions(first: Job): Job[] {
    const { derived, edits } = first.request;
    if (derived !== undefined || edits.slots.some(({ form }) => form.on === "call")) return [];
    const kind = this.#executor.kindOf(first.request);
    let nRows = rowCount(first);
    const taken = this.#waiting.filter((work): work is Job => {
      if (typeof work === "function" || this.#executor.kindOf(work.request) !== kind) return false;
      if (nRows + rowCount(work) > MAX_SHARED_ROWS) return false;
      nRows += rowCount(work);
      return true;
    });
    this.#waiting = this.#waiting.filter((work) => !taken.includes(work as Job));
    return taken;
  }

  /** One step for all jobs that can be run; where it fails for several, each is run alone and fails for itself. */
  async #runJobs(jobs: readonly Job[], loop: symbol): Promise<void> {
    const ready = jobs.filter((job) => this.#isReady(job));
    if (ready.length === 0) return;
    const signal = ready.length === 1 ? ready[0].signal : undefined;
    const appends = ready.flatMap((job) => job.appends);
    try {
      const run = await this.#executor.step(appends, ready[0].request, (call) => this.#aside(loop, call), signal);
      let first = 0;
      for (const job of ready) {
        finish(job, ready.length === 1 ? run : run.part(first, job.appends.length));
        first += job.appends.length;
      }
    } catch (error) {
      if (ready.length === 1) ready[0].reject(error);
      else for (const job of ready) await this.#runJobs([job], loop);
    }
  }

  /** Refuses a job whose tokens cannot be run or that is not wanted any more. */
  #isReady({ appends, signal, reject }: Job): boolean {
    try {
      if (signal?.aborted) throw signal.reason;
      for (const append of appends) this.#executor.check(append);
      return true;
    } catch (error) {
      reject(error);
      return false;
    }
  }
}

function rowCount({ appends }: Job): number {
  return appends.reduce((sum, { tokens }) => sum + tokens.length, 0);
}

function finish({ appends, signal, resolve, reject }: Job, run: Run): void {
  if (signal?.aborted) {
    reject(signal.reason);
    return;
  }
  for (const { sequence, tokens } of appends) sequence.length += tokens.length;
  resolve(run);
}
