import { type Backend, type LoadedWeights, OPCODES, type Op } from "../../src/index.ts";
import { defaultThreads, loadAddon, type NativeAddon } from "./addon.ts";
import { NativeEngine } from "./engine.ts";

export interface NativeOptions {
  /** Threads that share a step's work; as many as there are cores where undefined. */
  readonly threads?: number;
  /** Instruction set to compute with; the best that this CPU has where undefined. */
  readonly isa?: string;
}

/** Whole programs in C++, or undefined where the addon was not built for this machine. */
export function nativeBackend(options: NativeOptions = {}): Backend | undefined {
  const addon = loadAddon();
  return addon === undefined ? undefined : backend(addon, options);
}

function backend(addon: NativeAddon, options: NativeOptions): Backend {
  const { threads = defaultThreads(addon), isa = addon.isas()[0] } = options;
  const opcodes = kernelsOf(addon);
  const supports = (op: Op): boolean => (op.kind === "primitive" && op.movesNoData) || opcodes.has(OPCODES[op.name]);
  return {
    name: "native",
    precisions: ["f32"],
    supports,
    taps: (op) => (op.kind === "composite" && supports(op) ? op.innerPoints : []),
    load: (weights: LoadedWeights) => new NativeEngine(addon, weights, supports, threads, isa),
  };
}

function kernelsOf(addon: NativeAddon): ReadonlySet<number> {
  const engine = new addon.Engine(1);
  const opcodes = new Set(engine.kernels());
  engine.close();
  return opcodes;
}
