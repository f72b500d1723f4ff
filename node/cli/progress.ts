import { clip, formatBytes } from "../index.ts";

/** Milliseconds between two lines where stderr is a terminal, which rewrites one, and where it is not. */
const TERMINAL_INTERVAL_MS = 100;
const PLAIN_INTERVAL_MS = 5000;

/** Below this many milliseconds a speed would be a guess. */
const LEAST_MEASURED_MS = 500;

/** Ends a line that was rewritten: back to its first column, and what was there erased. */
const REWRITE = "\r\u001b[K";

/**
 * A long job's state on stderr: one line that is rewritten in place where stderr is a terminal; elsewhere a plain line
 * every few seconds, so that logs stay short. Call `done` in any case, lest a half line stays behind.
 */
export class StatusLine {
  readonly #isTerminal = process.stderr.isTTY === true;
  readonly #startMs = performance.now();
  #shownMs: number | undefined;

  update(text: string): void {
    const nowMs = performance.now();
    const intervalMs = this.#isTerminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS;
    // A job that ends within the first interval needs no plain line at all.
    const lastMs = this.#shownMs ?? (this.#isTerminal ? Number.NEGATIVE_INFINITY : this.#startMs);
    if (nowMs - lastMs < intervalMs) return;
    this.#shownMs = nowMs;
    // A line that wraps could not be rewritten.
    const width = (process.stderr.columns || 80) - 1;
    process.stderr.write(this.#isTerminal ? `${REWRITE}${clip(text, width)}` : `${text}\n`);
  }

  /** Ends the line; `text` takes its place and stays. */
  done(text?: string): void {
    if (this.#isTerminal && this.#shownMs !== undefined) process.stderr.write(REWRITE);
    if (text !== undefined) process.stderr.write(`${text}\n`);
    this.#shownMs = undefined;
  }
}

/** How many of a job's bytes are done, as a status line. */
export class ProgressLine {
  readonly #title: string;
  readonly #line = new StatusLine();
  readonly #startMs = performance.now();
  #startBytes: number | undefined;

  constructor(title: string) {
    this.#title = title;
  }

  /** `totalBytes` undefined where nobody knows. The first call's `doneBytes` were there before, and count for no speed. */
  update(doneBytes: number, totalBytes: number | undefined): void {
    this.#startBytes ??= doneBytes;
    const [newBytes, elapsedMs] = [doneBytes - this.#startBytes, performance.now() - this.#startMs];
    this.#line.update(`${this.#title}  ${describeProgress(doneBytes, totalBytes, newBytes, elapsedMs)}`);
  }

  /** As `StatusLine.done`. */
  done(text?: string): void {
    this.#line.done(text);
  }
}

/** `42 %  210 MiB of 500 MiB  35.0 MiB/s  8 s left`; `newBytes` of `doneBytes` came in `elapsedMs`. */
export function describeProgress(
  doneBytes: number,
  totalBytes: number | undefined,
  newBytes: number,
  elapsedMs: number,
): string {
  const bytesPerS = elapsedMs < LEAST_MEASURED_MS ? 0 : newBytes / (elapsedMs / 1000);
  const speed = bytesPerS > 0 ? [`${formatBytes(Math.round(bytesPerS))}/s`] : [];
  if (totalBytes === undefined) return [formatBytes(doneBytes), ...speed].join("  ");
  const percent = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
  const amounts = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
  const left = bytesPerS > 0 ? [`${formatDuration((totalBytes - doneBytes) / bytesPerS)} left`] : [];
  return [`${`${percent}`.padStart(3)} %`, amounts, ...speed, ...left].join("  ");
}

/** 8 s, 3 min 05 s, 2 h 07 min. */
export function formatDuration(seconds: number): string {
  const total = Math.ceil(Math.max(0, seconds));
  const two = (n: number): string => `${n}`.padStart(2, "0");
  if (total < 60) return `${total} s`;
  const [minutes, hours] = [Math.floor(total / 60), Math.floor(total / 3600)];
  return total < 3600 ? `${minutes} min ${two(total % 60)} s` : `${hours} h ${two(minutes % 60)} min`;
}
