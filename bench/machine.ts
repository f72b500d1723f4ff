import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Without which no figure means anything. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Instruction set of golgi's kernels here; undefined where the native engine is not built. */
  readonly isa: string | undefined;
  readonly platform: string;
  readonly node: string;
  /** With " + changes" where the sources differ from it; undefined outside a git repository. */
  readonly commit: string | undefined;
  readonly date: string;
  /** Runnable programs in the minute before the benchmark began. */
  readonly load: number;
}

export function describeMachine(isa: string | undefined): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown CPU",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    isa,
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    commit: gitCommit(),
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    load: loadavg()[0] ?? 0,
  };
}

function gitCommit(): string | undefined {
  const git = (...args: string[]) => spawnSync("git", args, { cwd: root, encoding: "utf8" });
  const { status, stdout } = git("rev-parse", "--short", "HEAD");
  if (status !== 0) return undefined;
  const isChanged = git("status", "--porcelain").stdout !== "";
  return `${stdout.trim()}${isChanged ? " + changes" : ""}`;
}

/** Seconds of all cores since the system began, or of some processes since they did. */
interface CpuSeconds {
  readonly busy: number;
  readonly stolen: number;
  readonly own: number;
}

/** How many cores other programs, and other virtual machines of the host, took while `run` ran. Linux alone tells. */
export async function watchOthers<T>(
  pids: readonly (number | undefined)[],
  run: () => Promise<T>,
): Promise<{ result: T; others?: number; stolen?: number }> {
  const before = readCpu(pids);
  const start = performance.now();
  const result = await run();
  const seconds = (performance.now() - start) / 1000;
  const after = readCpu(pids);
  if (before === undefined || after === undefined || seconds < 0.1) return { result };
  const others = (after.busy - before.busy - (after.own - before.own)) / seconds;
  return { result, others: Math.max(0, others), stolen: (after.stolen - before.stolen) / seconds };
}

function readCpu(pids: readonly (number | undefined)[]): CpuSeconds | undefined {
  if (process.platform !== "linux") return undefined;
  const ticksPerSecond = 100;
  const [, user, nice, system, , , irq, softirq, stolen] = readFileSync("/proc/stat", "utf8").split(/\s+/).map(Number);
  const own = [process.pid, ...pids].reduce((sum: number, pid) => sum + (pid === undefined ? 0 : processTicks(pid)), 0);
  const busy = user + nice + system + irq + softirq;
  return { busy: busy / ticksPerSecond, stolen: stolen / ticksPerSecond, own: own / ticksPerSecond };
}

/** User and system time of all threads; 0 once the process is gone. */
function processTicks(pid: number): number {
  try {
    // The name, in parentheses, may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0;
  }
}
