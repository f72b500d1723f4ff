import type { Host } from "../host.ts";

/** How far many runs have come. */
export interface Progress {
  readonly nDone: number;
  readonly nTotal: number;
  /** Milliseconds that the rest takes at the speed so far. */
  readonly etaMs: number;
}

/** Tells `onProgress` what is done and how long the rest will take. */
export function progressOf(
  host: Host,
  nTotal: number,
  onProgress: ((progress: Progress) => void) | undefined,
): (nDone: number) => void {
  const startMs = host.nowMs();
  return (nDone) => {
    onProgress?.({ nDone, nTotal, etaMs: ((host.nowMs() - startMs) / nDone) * (nTotal - nDone) });
  };
}
