/** A process that holds one engine and does what it is told: `node worker.ts <settings as JSON>`, over node:child_process. */
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { EngineSettings, GlassRequest, GlassResult, LoadResult, MeasuredEngine } from "./engines/engine.ts";

export type WorkerCall =
  | { readonly call: "load" }
  | { readonly call: "prefill"; readonly tokens: readonly number[] }
  | { readonly call: "decode"; readonly prompt: readonly number[]; readonly nTokens: number }
  | ({ readonly call: "glass" } & GlassRequest)
  | { readonly call: "memory" }
  | { readonly call: "held" }
  | { readonly call: "close" };

export interface WorkerResults {
  load: LoadResult;
  prefill: number;
  decode: number[];
  glass: GlassResult;
  memory: MemoryUse | undefined;
  /** Milliseconds for which the event loop was held at the longest, since this was last asked. */
  held: number;
  close: undefined;
}

/** In bytes, beyond what the process had before the model was opened. */
export interface MemoryUse {
  /** The most that was in memory at any time, the mapped parts of the file included. */
  readonly peak: number;
  /** What belongs to the process alone now; the file's pages are the system's, and shared. */
  readonly own: number;
}

export type WorkerAnswer = { readonly result: WorkerResults[keyof WorkerResults] } | { readonly error: string };

const eventLoop = monitorEventLoopDelay({ resolution: 1 });

async function serve(settings: EngineSettings): Promise<void> {
  const engine = await openEngine(settings);
  const idle = readMemory();
  eventLoop.enable();
  process.on("message", async (message: WorkerCall) => {
    const answer: WorkerAnswer = await perform(engine, message, idle).then(
      (result) => ({ result }),
      (error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }),
    );
    process.send?.(answer, () => {
      if (message.call === "close") process.exit(0);
    });
  });
  process.on("disconnect", () => process.exit(0));
  process.send?.({ result: undefined } satisfies WorkerAnswer);
}

async function openEngine(settings: EngineSettings): Promise<MeasuredEngine> {
  if (settings.engine === "llama.cpp") {
    return (await import("./engines/llama-cpp.ts")).openLlamaCpp(settings);
  }
  return (await import("./engines/golgi.ts")).openGolgi(settings);
}

async function perform(
  engine: MeasuredEngine,
  message: WorkerCall,
  idle: ProcessMemory | undefined,
): Promise<WorkerResults[keyof WorkerResults]> {
  switch (message.call) {
    case "load":
      return engine.load();
    case "prefill":
      return engine.prefill(message.tokens);
    case "decode":
      return engine.decode(message.prompt, message.nTokens);
    case "glass":
      if (engine.glass === undefined) throw new Error("this engine has no reads");
      return engine.glass(message);
    case "memory": {
      const now = readMemory();
      if (idle === undefined || now === undefined) return undefined;
      return { peak: now.peak - idle.resident, own: now.own - idle.own };
    }
    case "held": {
      const heldMs = eventLoop.max / 1e6;
      eventLoop.reset();
      return heldMs;
    }
    case "close":
      return engine.close().then(() => undefined);
  }
}

interface ProcessMemory {
  readonly peak: number;
  readonly resident: number;
  readonly own: number;
}

/** From Linux's own account; undefined elsewhere. */
function readMemory(): ProcessMemory | undefined {
  if (process.platform !== "linux") return undefined;
  const status = readFileSync("/proc/self/status", "utf8");
  const bytes = (key: string): number => 1024 * Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(status)?.[1]);
  return { peak: bytes("VmHWM"), resident: bytes("VmRSS"), own: bytes("RssAnon") };
}

await serve(JSON.parse(process.argv[2] ?? "") as EngineSettings);
