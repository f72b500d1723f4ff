import { setTimeout } from "node:timers/promises";
import type { RetryPolicy } from "./settings.ts";

/** A failure that may pass: a cut connection, a busy server. Never leaves the folder: what gives up says what failed. */
export class PassingError extends Error {
  /** What the server asks to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(reason: string, { cause, retryAfterMs }: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(reason, { cause });
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * Runs `attempt` again while it fails with a PassingError, which is thrown in the end. `progress` is asked after each
 * failure; where it has grown, the count of failures begins anew.
 */
export async function retrying<T>(
  policy: RetryPolicy,
  signal: AbortSignal,
  attempt: () => Promise<T>,
  progress: () => number = () => 0,
): Promise<T> {
  for (let [nFailures, reached] = [0, progress()]; ; ) {
    signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof PassingError)) throw error;
      nFailures = progress() > reached ? 1 : nFailures + 1;
      reached = progress();
      const waitMs = error.retryAfterMs ?? policy.delayMs * 2 ** (nFailures - 1);
      if (nFailures >= policy.nAttempts || waitMs > policy.maxDelayMs) throw error;
      await sleep(waitMs, signal);
    }
  }
}

/** Rejects with the signal's reason once it is aborted. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
