/** `npm run bench`: see options.ts for what it takes, docs/bench.md for what it means. */
import { rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import path from "node:path";
import { GolgiError } from "../src/errors.ts";
import { Ceilings } from "./ceilings.ts";
import { type CompareSettings, compare, type Round } from "./compare.ts";
import { EngineProcess } from "./engine-process.ts";
import type { EngineSettings } from "./engines/engine.ts";
import { describeMachine, type Machine } from "./machine.ts";
import { moe } from "./moe.ts";
import { type BenchOptions, HELP, parseOptions, UsageError } from "./options.ts";
import { ensurePeer, type Peer } from "./peers.ts";
import * as report from "./report.ts";
import { SHAPES } from "./shapes.ts";
import { sweep } from "./sweep.ts";
import { tokenize } from "./tokenize.ts";
import { workOf } from "./work.ts";
import { ensureModel, FORMATS } from "./write-model.ts";

interface Bench {
  readonly options: BenchOptions;
  readonly ceilings: Ceilings;
  readonly machine: Machine;
}

type PlanItem = BenchOptions["plan"][number];

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args[0] === "tokenize") return tokenize(args.slice(1), note);
  if (args[0] === "sweep") return sweep(args.slice(1));
  if (args[0] === "moe") return moe(args.slice(1), note);
  const options = parseOptions(args);
  if (options === undefined) return console.log(HELP);
  const ceilings = new Ceilings(options.threads, availableParallelism());
  const bench = { options, ceilings, machine: describeMachine(ceilings.isa) };
  print(bench, `${report.renderMachine(bench.machine, ceilings.threads)}\n`);
  const result = await COMMANDS[options.command](bench);
  print(bench, ceilings.isa === undefined ? NO_LIMITS : report.renderCeilings(ceilings.rows));
  if (options.json)
    console.log(JSON.stringify({ machine: bench.machine, options, ceilings: ceilings.rows, ...result }));
}

const NO_LIMITS = "Limits of this machine: unknown, since the native engine, which measures them, is not built.";

const COMMANDS: Readonly<Record<BenchOptions["command"], (bench: Bench) => Promise<object>>> = {
  compare: compareAll,
  glass: measureGlass,
  ceilings: measureCeilings,
};

async function compareAll(bench: Bench): Promise<object> {
  const { options } = bench;
  const endMs = performance.now() + options.minutes * 60_000;
  const peer = options.peer && options.backend === "native" ? findPeer() : undefined;
  if (peer !== undefined && "missing" in peer) print(bench, `Without llama.cpp: ${peer.missing}.\n`);
  const results = [];
  for (const [i, item] of options.plan.entries()) {
    // What one part saves, the parts after it may use.
    const now = performance.now();
    const deadlineMs = now + (endMs - now) / (options.plan.length - i);
    results.push(await compareOne(bench, item, peer !== undefined && "version" in peer ? peer : undefined, deadlineMs));
    if (interrupted) break;
  }
  const rounds = results.flatMap((result) => result.rounds);
  const others = report.renderOthers(rounds, bench.machine.cores);
  if (others !== undefined) print(bench, `${others}\n`);
  return { peer, results };
}

async function compareOne(
  bench: Bench,
  { model, format }: PlanItem,
  peer: { readonly version: string } | undefined,
  deadlineMs: number,
): Promise<{ model: string; format: string; rounds: readonly Round[]; summary: readonly report.ReportRow[] }> {
  const { options, ceilings } = bench;
  const shape = SHAPES[model];
  const modelPath = await writeModel(options.dir, { model, format });
  const common = { modelPath, vocabSize: shape.vocabSize, threads: ceilings.threads };
  const hasPeer = peer !== undefined && FORMATS[format].kind === "gguf";
  const { rounds: nRounds, nPrefill, nDecode, resume } = options;
  const settings: CompareSettings = {
    golgi: { ...common, engine: options.backend === "native" ? "golgi" : "golgi reference" },
    peer: hasPeer ? { ...common, engine: "llama.cpp" } : undefined,
    ...{ rounds: nRounds, nPrefill, nDecode, deadlineMs, resume },
    isStopped: () => interrupted,
    keepIn: keptRounds(bench, `${model}-${format}-${hasPeer ? "peer" : "alone"}`),
  };
  if (!resume) await rm(settings.keepIn, { force: true });
  const rounds = await compare(settings, ceilings, (n, seconds) => {
    note(`${model} ${format}: round ${n} of ${nRounds}, ${seconds.toFixed(1)} s`);
  });
  for (const error of new Set(rounds.flatMap(({ golgi, peer: other }) => [golgi.error, other?.error]))) {
    if (error !== undefined) note(`${model} ${format}: ${error}`);
  }
  if (rounds.some(({ golgi }) => golgi.error !== undefined)) process.exitCode = 1;
  const summary = report.summarise(rounds, workOf(rounds, shape, format, nPrefill), nDecode);
  const peerTitle = hasPeer ? `llama.cpp (${peer.version})` : undefined;
  const title = `${shape.title}, ${format}, ${rounds.length} round${rounds.length === 1 ? "" : "s"}: median least..most`;
  print(bench, `${title}\n${report.renderComparison(summary, peerTitle)}\n`);
  return { model, format, rounds, summary };
}

async function measureGlass(bench: Bench): Promise<object> {
  const { options, ceilings } = bench;
  const [item] = options.plan;
  const { model, format } = item;
  const shape = SHAPES[model];
  const contextLength = 128;
  const settings: EngineSettings = {
    engine: options.backend === "native" ? "golgi" : "golgi reference",
    modelPath: await writeModel(options.dir, item),
    vocabSize: shape.vocabSize,
    threads: ceilings.threads,
    contextLength,
  };
  const engine = await EngineProcess.start(settings);
  try {
    await engine.ask({ call: "load" });
    const nSteps = Math.min(options.nDecode, 100);
    const parts = [];
    for (let i = 0; i < options.rounds; i++) {
      const part = await ceilings.beside("read", () => engine.ask({ call: "glass", nCached: 16, nSteps }));
      parts.push(part.result);
      note(`${model} ${format}: round ${i + 1} of ${options.rounds}`);
    }
    const result = { ...parts[0], steps: parts.flatMap(({ steps }) => steps) };
    const summary = report.summariseGlass(result);
    const title = `${shape.title}, ${format}, ${settings.engine}, up to ${contextLength} tokens of context`;
    print(bench, `${title}\n${report.renderGlass(result, summary)}\n`);
    return { result, summary };
  } finally {
    await engine.stop();
  }
}

async function measureCeilings({ options, ceilings }: Bench): Promise<object> {
  for (let i = 0; i < options.rounds; i++) {
    for (const kind of ["read", "f32"] as const) ceilings.measure(kind);
    ceilings.measureRest();
  }
  return {};
}

function findPeer(): Peer {
  return ensurePeer("node-llama-cpp", () => note("installing into bench/peers (150 MB) ..."));
}

function writeModel(dir: string, { model, format }: PlanItem): Promise<string> {
  return ensureModel(dir, model, SHAPES[model], format, (file, sizeBytes) => {
    note(`writing ${file} (${(sizeBytes / 1e6).toFixed(0)} MB) ...`);
  });
}

/** Rounds are taken over only where everything that matters is the same. */
function keptRounds({ options, ceilings, machine }: Bench, name: string): string {
  const { nPrefill, nDecode, backend } = options;
  const same = [name, backend, `${ceilings.threads}t`, `${nPrefill}p`, `${nDecode}d`, machine.commit ?? "none"];
  return path.join(options.dir, "rounds", `${same.join("-").replaceAll(/[^\w.-]+/g, "_")}.jsonl`);
}

let interrupted = false;

/** Progress goes where it does not get into a table or into JSON. */
function note(text: string): void {
  console.error(text);
}

function print({ options }: Bench, text: string): void {
  if (!options.json) console.log(text);
}

process.once("SIGINT", () => {
  interrupted = true;
  note("stopping; what is finished follows");
});

await main().catch((error: unknown) => {
  if (!(error instanceof UsageError || error instanceof GolgiError)) throw error;
  const isUsage = error instanceof UsageError;
  console.error(isUsage ? `${error.message}; npm run bench -- --help lists what there is` : error.message);
  process.exitCode = isUsage ? 2 : 1;
});
