/** Ways in which a process may end while an engine lives; run by test/native-addon.test.ts in processes of their own. */

import { setTimeout } from "node:timers/promises";
import { isMainThread, Worker } from "node:worker_threads";
import { loadAddon, type NativeEngine } from "../../node/native/addon.ts";
import { compile, products, step } from "./programs.ts";

const N = 256;
/** Products that take minutes. */
const N_TIMES = 1_000_000;

const scenarios: Readonly<Record<string, () => void | Promise<void>>> = {
  "with an idle engine": async () => {
    const engine = open();
    await engine.run(compile(engine, products(N, 1)), step(N, [0]), new Int32Array(1));
  },
  "by process.exit while a step runs": async () => {
    longRun(open());
    await setTimeout(50);
    process.exit(0);
  },
  "by an error while a step runs": () => {
    longRun(open());
    process.on("uncaughtException", () => process.exit(0));
    throw new Error("an error");
  },
  "after a worker was ended while its step ran": async () => {
    const worker = new Worker(import.meta.filename);
    await new Promise((resolve) => worker.once("message", resolve));
    await setTimeout(50);
    await worker.terminate();
  },
  "after engines were forgotten and collected": async () => {
    for (let i = 0; i < 20; i++) {
      const engine = open();
      await engine.run(compile(engine, products(N, 1)), step(N, [0]), new Int32Array(1));
    }
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.();
      await setTimeout(10);
    }
  },
  "after a step whose engine nobody holds": async () => {
    const finished = shortRun(open());
    globalThis.gc?.();
    if (!(await finished)) process.exitCode = 1;
  },
};

function open(): NativeEngine {
  const addon = loadAddon();
  if (addon === undefined) throw new Error("the addon was not built");
  const engine = new addon.Engine(2);
  engine.bindWeightData(N, N, new Float32Array(N * N));
  return engine;
}

function shortRun(engine: NativeEngine): Promise<boolean> {
  return engine.run(compile(engine, products(N, 50)), step(N, [0]), new Int32Array(1));
}

function longRun(engine: NativeEngine): void {
  void engine.run(compile(engine, products(N, N_TIMES)), step(N, [0]), new Int32Array(1));
}

if (isMainThread) await scenarios[process.argv[2] ?? ""]?.();
else {
  const { parentPort } = await import("node:worker_threads");
  longRun(open());
  parentPort?.postMessage("running");
}
