import { open, rm, stat, utimes } from "node:fs/promises";
import { sleep } from "./retry.ts";

const TOUCH_MS = 1_000;
/** Without a touch for so long, a lock is taken for one that a killed process left behind. */
const STALE_MS = 10_000;
const POLL_MS = 100;

/**
 * Runs `work` while no other golgi does under the same lock: a file that its holder touches every second. It saves a
 * second download. Where it fails (a process that slept), two write the same bytes to the same places of one file, whose
 * hash is checked before it gets its name.
 */
export async function withLock<T>(
  path: string,
  signal: AbortSignal,
  onWait: () => Promise<void>,
  work: () => Promise<T>,
): Promise<T> {
  while (!(await take(path))) {
    if (await isStale(path)) await rm(path, { force: true });
    await onWait();
    await sleep(POLL_MS, signal);
  }
  const touch = setInterval(() => {
    const now = new Date();
    // A lock that is gone, or on a disk that fails, is of no more use; the work goes on without it.
    utimes(path, now, now).catch(() => clearInterval(touch));
  }, TOUCH_MS);
  touch.unref();
  try {
    return await work();
  } finally {
    clearInterval(touch);
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<boolean> {
  try {
    await (await open(path, "wx")).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function isStale(path: string): Promise<boolean> {
  const touchedMs = await stat(path).then(
    (stats) => stats.mtimeMs,
    () => Date.now(),
  );
  return Date.now() - touchedMs > STALE_MS;
}
