/** Rounds: in each, golgi and its peer do the same things by turns, with the machine's ceilings measured in between. */
import { appendFile, mkdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import type { Ceilings } from "./ceilings.ts";
import { EngineProcess } from "./engine-process.ts";
import { type EngineSettings, type LoadResult, promptTokens } from "./engines/engine.ts";
import { watchOthers } from "./machine.ts";
import { mean } from "./stats.ts";
import type { MemoryUse, WorkerCall } from "./worker.ts";

export interface CompareSettings {
  readonly golgi: Omit<EngineSettings, "contextLength">;
  readonly peer: Omit<EngineSettings, "contextLength"> | undefined;
  readonly rounds: number;
  readonly nPrefill: number;
  readonly nDecode: number;
  /** No further round begins that would probably end after this. */
  readonly deadlineMs: number;
  /** Finished rounds are kept here as lines of JSON. */
  readonly keepIn: string;
  readonly resume: boolean;
  readonly isStopped: () => boolean;
}

/** What one engine did in one round. What failed is absent. */
export interface EngineRound {
  error?: string;
  load?: LoadResult;
  /** What reading the file's bytes once took just before, at the least. */
  touchMs?: number;
  /** Once the model is loaded and has given its first token's logits. */
  firstMemory?: MemoryUse;
  prefillMs?: number;
  /** Of each token. */
  decodeMs?: readonly number[];
  /** For how long the event loop was held at the longest while that went on. */
  heldMs?: number;
  memory?: MemoryUse;
  /** The machine's own rates right beside: FLOP/s of f32 and bytes/s of reading. */
  prefillCeiling?: number;
  decodeCeiling?: number;
}

export interface Round {
  readonly golgi: EngineRound;
  readonly peer: EngineRound | undefined;
  /** Cores that other programs took, and that the host gave to others, on average. */
  readonly others: number | undefined;
  readonly stolen: number | undefined;
}

const nWarmTokens = 4;
const prompt = [1, 2, 3];

/** Runs until all rounds are done, the time is up or golgi fails; what is done is given back in any case. */
export async function compare(
  settings: CompareSettings,
  ceilings: Ceilings,
  onRound: (nDone: number, seconds: number) => void,
): Promise<Round[]> {
  const rounds = settings.resume ? await readRounds(settings.keepIn) : [];
  await mkdir(path.dirname(settings.keepIn), { recursive: true });
  while (rounds.length < settings.rounds && !settings.isStopped()) {
    const start = performance.now();
    // A peer that has failed once would only take time.
    const peer = rounds.some((round) => round.peer?.error !== undefined) ? undefined : settings.peer;
    const round = await runRound({ ...settings, peer }, ceilings, rounds.length);
    // The terminal ends the engines' processes too; a round that was cut short tells nothing.
    if (settings.isStopped() && round.golgi.error !== undefined) break;
    rounds.push(round);
    if (round.golgi.error !== undefined) break;
    await appendFile(settings.keepIn, `${JSON.stringify(round)}\n`);
    const now = performance.now();
    onRound(rounds.length, (now - start) / 1000);
    if (now + (now - start) > settings.deadlineMs) break;
  }
  return rounds.slice(0, settings.rounds);
}

async function readRounds(file: string): Promise<Round[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  // The last line of a killed run may be half a line.
  const lines = text.split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Round);
}

/** One engine's process in a round. */
interface Contestant {
  readonly result: EngineRound;
  readonly process: EngineProcess;
}

async function runRound(settings: CompareSettings, ceilings: Ceilings, index: number): Promise<Round> {
  const { nPrefill, nDecode } = settings;
  const contextLength = Math.max(nPrefill, prompt.length + nDecode + nWarmTokens) + 1;
  const others: number[] = [];
  const stolen: number[] = [];
  const golgi = await start({ ...settings.golgi, contextLength });
  const peer = settings.peer && (await start({ ...settings.peer, contextLength }));
  const both = [golgi, peer].filter((one) => one !== undefined);
  const contestants = index % 2 === 0 ? both : both.toReversed();
  try {
    await each(async ({ process, result }) => {
      result.touchMs = ceilings.touchMs(await weightsFile(settings.golgi.modelPath));
      result.load = await process.ask({ call: "load" });
      result.firstMemory = await process.ask({ call: "memory" });
    });
    await each(async ({ process }) => {
      await process.ask({ call: "prefill", tokens: promptTokens(Math.min(16, nPrefill), settings.golgi.vocabSize) });
    });
    await each(async (one) => {
      const tokens = promptTokens(nPrefill, settings.golgi.vocabSize);
      const { result, ceiling } = await ceilings.beside("f32", () => watched(one, { call: "prefill", tokens }));
      Object.assign(one.result, { prefillMs: result, prefillCeiling: ceiling });
    });
    // Generation needs the vocabulary, which golgi reads by then; that is no part of a token's time.
    await each(async ({ process }) => {
      await process.ask({ call: "decode", prompt, nTokens: 1 });
      await process.ask({ call: "held" });
    });
    await each(async (one) => {
      const call = { call: "decode", prompt, nTokens: nWarmTokens + nDecode } as const;
      const { result, ceiling } = await ceilings.beside("read", () => watched(one, call));
      Object.assign(one.result, { decodeMs: (result as number[]).slice(nWarmTokens), decodeCeiling: ceiling });
      one.result.heldMs = await one.process.ask({ call: "held" });
    });
    await each(async ({ process, result }) => {
      result.memory = await process.ask({ call: "memory" });
    });
    ceilings.measureRest();
  } finally {
    for (const { process } of contestants) await process?.stop();
  }
  return { golgi: golgi.result, peer: peer?.result, others: average(others), stolen: average(stolen) };

  /** Each in turn; one that failed takes no further part. */
  async function each(act: (one: Contestant) => Promise<void>): Promise<void> {
    for (const { process, result } of contestants) {
      if (process === undefined || result.error !== undefined) continue;
      await act({ process, result }).catch((error: Error) => {
        result.error = error.message;
      });
    }
  }

  async function watched({ process }: Contestant, call: WorkerCall): Promise<unknown> {
    const pids = contestants.map((one) => one.process?.pid);
    const seen = await watchOthers(pids, () => process.ask(call));
    if (seen.others !== undefined) others.push(seen.others);
    if (seen.stolen !== undefined) stolen.push(seen.stolen);
    return seen.result;
  }
}

async function start(settings: EngineSettings): Promise<{ result: EngineRound; process: EngineProcess | undefined }> {
  try {
    return { result: {}, process: await EngineProcess.start(settings) };
  } catch (error) {
    return { result: { error: (error as Error).message }, process: undefined };
  }
}

/** A model of the benchmark is one file, or a folder with one file of weights. */
async function weightsFile(modelPath: string): Promise<string> {
  const isFolder = (await stat(modelPath)).isDirectory();
  return isFolder ? path.join(modelPath, "model.safetensors") : modelPath;
}

function average(samples: readonly number[]): number | undefined {
  return samples.length === 0 ? undefined : mean(samples);
}
