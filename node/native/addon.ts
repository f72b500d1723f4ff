import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import { BackendError, type Binding, CheckpointError } from "../../src/index.ts";

/** The compiled engine, as native/src/addon.cpp exports it. A wrong argument throws TypeError or RangeError. */
export interface NativeAddon {
  /** Instruction sets that kernels were compiled for and this CPU has, best first. */
  isas(): string[];
  /** Physical cores that this process may run on. */
  nPhysicalCores(): number;
  /** Maps a file into memory; throws CheckpointError where that cannot be done. */
  mapFile(path: string): MappedFile;
  /**
   * What this machine can do at most, by `threads` threads at once for `seconds`; undefined where the CPU has no such
   * instruction. Blocks meanwhile: for benchmarks.
   */
  probe(kind: CeilingKind, threads: number, seconds: number): Ceiling | undefined;
  /** Seconds until `threads` threads have mapped a file and read each of its bytes once. Blocks meanwhile. */
  touch(path: string, threads: number): number;
  readonly Engine: new (threads: number, isa?: string) => NativeEngine;
}

/** Reading from memory beyond all caches, or arithmetic without any: multiply-adds in f32, dot products in int8, bf16. */
export type CeilingKind = "read" | "f32" | "int8" | "bf16";

export interface Ceiling {
  /** Bytes, or operations where a multiply and an add count as two. */
  readonly perSecond: number;
  readonly instruction: string;
}

/** The bytes of a file. It must not be cut short while it is mapped: the system would end the process. */
export interface MappedFile {
  readonly sizeBytes: number;
  /** Lets go of the file, as soon as no engine has a weight bound to it. May be called again. */
  close(): void;
}

export type WeightFormat = Binding["dtype"];
export type KvType = "f32" | "f16";

/** Rows of a weight that lie together in a file. Segments follow one another and cover all rows. */
export interface WeightSegment {
  readonly file: MappedFile;
  /** Bytes before the first stored row. */
  readonly offset: number;
  /** Bytes from one stored row to the next. */
  readonly rowBytes: number;
  /** Row of the weight that the segment begins with. */
  readonly firstRow: number;
  readonly nRows: number;
  /** Which stored row holds row i of the segment, where that is not i. */
  readonly storedRows?: Int32Array;
  /** Of formats whose scales lie apart. */
  readonly scales?: WeightScales;
}

/**
 * Where the scales of a segment's rows lie. Stored row r is row `firstRow` + r · step of a matrix, the step being
 * `rowBytes` of the segment over the bytes of one row; `rowsPerScale` rows of the matrix share a row of scales.
 */
export interface WeightScales {
  readonly file: MappedFile;
  /** Bytes before the scales of the matrix's first row. */
  readonly offset: number;
  /** Bytes from one row of scales to the next. */
  readonly rowBytes: number;
  readonly rowsPerScale: number;
  /** Row of the matrix that is the segment's first stored row. */
  readonly firstRow: number;
}

/** What one run is given. Everything but `out` is copied before `run` returns. */
export interface NativeStep {
  /** [T] index of each row's sequence. */
  readonly sequence: Int32Array;
  /** [T] */
  readonly position: Int32Array;
  /** [nSequences] row of the rotary frequencies. */
  readonly ropeVariant: Int32Array;
  /** [nSequences] page numbers of positions [0, 16), [16, 32), ... */
  readonly pages: readonly Int32Array[];
  /** By int input of the program. Indices into weights or rows are not checked here. */
  readonly ints: readonly Int32Array[];
  /** By float input of the program. */
  readonly floats: readonly Float32Array[];
  /** Where outputs are written; must be large enough, and not be transferred before the run has ended. */
  readonly out: readonly ArrayBuffer[];
  /** Which block of `out` holds each output of the program. */
  readonly outBlocks: Int32Array;
  /** Bytes from the beginning of that block. */
  readonly outOffsets: Float64Array;
}

/** One model's weights, caches and threads. Weights and caches are numbered in the order in which they are bound. */
export interface NativeEngine {
  /** Opcodes that have a kernel. */
  kernels(): number[];
  bindWeight(format: WeightFormat, nRows: number, nCols: number, segments: readonly WeightSegment[]): number;
  /** Binds float32 rows that lie in memory; the array is kept, not copied. */
  bindWeightData(nRows: number, nCols: number, data: Float32Array): number;
  bindCache(nKvHeads: number, dK: number, dV: number, type: KvType): number;
  /** Makes room for `nPages` pages in every cache; what they hold stays. */
  reserve(nPages: number): void;
  /** Copies page from[i] to page to[i] in every cache, before the next run. */
  copyPages(from: Int32Array, to: Int32Array): void;
  /** Gives the memory of pages from `nPages` on back. */
  trim(nPages: number): void;
  /** Takes the words of a program; `weights` and `caches` say which bound ones its operands stand for. */
  compile(words: Int32Array, weights: Int32Array, constants: readonly Float32Array[], caches: Int32Array): number;
  release(program: number): void;
  /**
   * Runs after all runs asked for before, off the event loop. False where `cancel[0]`, which is looked at between
   * instructions, was not 0; outputs are then incomplete.
   */
  run(program: number, step: NativeStep, cancel: Int32Array): Promise<boolean>;
  /** Lets runs under way end, then frees everything. May be called again. */
  close(): Promise<void>;
}

/** As many threads as make an engine fast: two hardware threads of one core only share what kernels need. */
export function defaultThreads(addon: NativeAddon): number {
  return Math.max(1, Math.min(addon.nPhysicalCores(), availableParallelism()));
}

/** The compiled engine, or undefined where it has not been built. */
export function loadAddon(): NativeAddon | undefined {
  // From the sources, and from dist/.
  const candidates = ["../../native", "../../../native"];
  const files = candidates.map((folder) =>
    fileURLToPath(new URL(`${folder}/build/Release/golgi.node`, import.meta.url)),
  );
  const file = files.find((candidate) => existsSync(candidate));
  if (file === undefined) return undefined;
  const addon = load(file);
  return { ...addon, mapFile: (path) => mapFile(addon, path) };
}

function load(file: string): NativeAddon {
  try {
    return createRequire(import.meta.url)(file) as NativeAddon;
  } catch (cause) {
    throw new BackendError("backend.unsupported", {
      path: file,
      expected: "the native engine must load on this machine",
      got: (cause as Error).message,
      remedy: "Delete native/build and run npm run build.",
      cause,
    });
  }
}

function mapFile(addon: NativeAddon, path: string): MappedFile {
  try {
    return addon.mapFile(path);
  } catch (cause) {
    const { errno } = cause as NodeJS.ErrnoException;
    if (errno === undefined) throw cause;
    throw new CheckpointError("checkpoint.missing", {
      path,
      expected: "the file must be mapped into memory",
      got: process.platform === "win32" ? (cause as Error).message : getSystemErrorName(-errno),
      remedy: "Check the path and its permissions.",
      cause,
    });
  }
}
