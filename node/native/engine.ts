import {
  BackendError,
  type Binding,
  type CacheUse,
  closedModelError,
  concreteShape,
  decodeWeight,
  type Engine,
  expand,
  isStoredByRows,
  type LoadedWeights,
  type LoweredProgram,
  lower,
  type Op,
  type Program,
  type RowSegment,
  type Rows,
  rowSegments,
  type StepInputs,
  type StepOutput,
  type Tape,
  type Value,
  verify,
  type WeightUse,
} from "../../src/index.ts";
import type { NativeEngine as Interpreter, MappedFile, NativeAddon } from "./addon.ts";

/** One model in the C++ interpreter. Weights are bound where they lie in their mapped files. */
export class NativeEngine implements Engine {
  readonly #model: LoadedWeights;
  readonly #addon: NativeAddon;
  readonly #engine: Interpreter;
  readonly #supports: (op: Op) => boolean;
  readonly #files = new Map<string, MappedFile>();
  readonly #weights = new Map<string, number>();
  readonly #caches = new Map<string, number>();
  #closed = false;

  constructor(addon: NativeAddon, model: LoadedWeights, supports: (op: Op) => boolean, threads: number, isa: string) {
    this.#model = model;
    this.#addon = addon;
    this.#engine = new addon.Engine(threads, isa);
    this.#supports = supports;
  }

  compile(tape: Tape): NativeProgram {
    const expanded = expand(tape, ({ op }) => !this.#supports(op));
    verify(expanded);
    const lowered = lower(expanded);
    const indices = new Map(lowered.outputs.map((value, i) => [value, i]));
    const named = new Set<Value>();
    const outputs = [...expanded.outputs].map(([name, value]) => {
      const isCopy = named.has(value);
      named.add(value);
      return { name, type: value.type, index: indices.get(value) as number, isCopy };
    });
    return { tape: expanded, lowered, outputs, handle: undefined };
  }

  release(program: NativeProgram): void {
    if (program.handle !== undefined && !this.#closed) this.#engine.release(program.handle);
    program.handle = undefined;
  }

  reserve(nPages: number): void {
    if (this.#closed) throw closedModelError();
    this.#engine.reserve(nPages);
  }

  copyPages(copies: readonly { readonly from: number; readonly to: number }[]): void {
    if (copies.length === 0) return;
    this.#engine.copyPages(
      Int32Array.from(copies, ({ from }) => from),
      Int32Array.from(copies, ({ to }) => to),
    );
  }

  async run(program: NativeProgram, step: StepInputs, signal?: AbortSignal): Promise<Map<string, StepOutput>> {
    if (this.#closed) throw closedModelError();
    program.handle ??= await this.#load(program.lowered);
    // The system ends a process that touches mapped bytes which a file has lost.
    this.#model.checkpoint.checkUnchanged();
    const { lowered } = program;
    const memory = new OutputMemory(lowered.outputs.map(({ shape }) => concreteShape(shape, step)));
    const cancel = new Int32Array(1);
    const onAbort = (): void => {
      cancel[0] = 1;
    };
    (signal as EventTarget | undefined)?.addEventListener("abort", onAbort);
    try {
      const finished = await this.#engine.run(
        program.handle,
        {
          ...rowArrays(step.rows),
          ints: lowered.ints.map((name) => given(name, step.ints)),
          floats: lowered.floats.map((name) => toFloat32(given(name, step.floats))),
          out: memory.blocks,
          outBlocks: memory.blockOf,
          outOffsets: memory.offsets,
        },
        cancel,
      );
      if (!finished) throw signal?.reason;
    } finally {
      (signal as EventTarget | undefined)?.removeEventListener("abort", onAbort);
    }
    return new Map(program.outputs.map((output) => [output.name, memory.take(output)]));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#engine.close();
    for (const file of this.#files.values()) file.close();
  }

  /** Binds what the program reads and compiles it in the interpreter. */
  async #load({ words, weights, constants, caches }: LoweredProgram): Promise<number> {
    const bound: number[] = [];
    for (const use of weights) bound.push(await this.#weight(use));
    if (this.#closed) throw closedModelError();
    return this.#engine.compile(
      words,
      Int32Array.from(bound),
      constants.map((data) => Float32Array.from(data)),
      Int32Array.from(caches, (cache) => this.#cache(cache)),
    );
  }

  async #weight({ name, isMatrix, nCols }: WeightUse): Promise<number> {
    const binding = this.#model.bindings.get(name);
    if (binding === undefined) {
      const expected = "a tape's weights must be bound to the checkpoint";
      throw new BackendError("backend.state", { path: name, expected });
    }
    const inPlace = isMatrix && this.#canMap(binding, nCols);
    const key = `${name} ${inPlace ? "mapped" : `copied in rows of ${nCols}`}`;
    const known = this.#weights.get(key);
    if (known !== undefined) return known;
    const index = inPlace ? this.#bindMapped(binding, nCols) : await this.#bindCopy(binding, nCols);
    this.#weights.set(key, index);
    return index;
  }

  /** Only matrices have kernels for stored formats; vectors and matrices that are stored in no such rows are converted once. */
  #canMap(binding: Binding, nCols: number): boolean {
    const { checkpoint } = this.#model;
    const { pieces, shape } = binding;
    const storedCols = shape.length > 1 ? shape.at(-1) : 1;
    const isInFiles = pieces.every(({ tensor }) => checkpoint.filePath(tensor) !== undefined);
    return nCols === storedCols && isStoredByRows(binding) && isInFiles;
  }

  #bindMapped(binding: Binding, nCols: number): number {
    const inFile = <P extends Pick<RowSegment, "tensor">>({ tensor, ...place }: P) => ({
      file: this.#map(this.#model.checkpoint.filePath(tensor) as string),
      ...place,
    });
    const segments = rowSegments(binding).map(({ scales, ...segment }) => ({
      ...inFile(segment),
      ...(scales !== undefined && { scales: inFile(scales) }),
    }));
    return this.#engine.bindWeight(binding.dtype, elementCount(binding.shape) / nCols, nCols, segments);
  }

  #map(path: string): MappedFile {
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    const file = this.#addon.mapFile(path);
    try {
      // The name may have come to stand for another file than the one whose header was read.
      this.#model.checkpoint.checkUnchanged();
    } catch (error) {
      file.close();
      throw error;
    }
    this.#files.set(path, file);
    return file;
  }

  async #bindCopy(binding: Binding, nCols: number): Promise<number> {
    const data = await decodeWeight(binding, this.#model.checkpoint, "f32");
    return this.#engine.bindWeightData(data.length / nCols, nCols, data as Float32Array);
  }

  #cache({ name, shape, type }: CacheUse): number {
    const [nKvHeads, headDim, vHeadDim] = shape as readonly number[];
    const known = this.#caches.get(name) ?? this.#engine.bindCache(nKvHeads, headDim, vHeadDim, type);
    this.#caches.set(name, known);
    return known;
  }
}

interface NamedOutput {
  readonly name: string;
  readonly type: Value["type"];
  readonly index: number;
  /** A further name of a value that is handed out already. */
  readonly isCopy: boolean;
}

export interface NativeProgram extends Program {
  readonly lowered: LoweredProgram;
  /** By name, with the index among the lowered program's outputs. */
  readonly outputs: readonly NamedOutput[];
  /** In the interpreter, once it has run. */
  handle: number | undefined;
}

/** Outputs lie this far apart, so that threads that write neighbours share no line. */
const CACHE_LINE = 64;

/** Outputs from this size on have memory of their own, so that keeping one does not keep others. */
const OWN_BLOCK_BYTES = 65_536;

/** Where a step's outputs are written: small ones share a block, since each block costs the garbage collector work. */
class OutputMemory {
  readonly #shapes: readonly (readonly number[])[];
  readonly blocks: ArrayBuffer[];
  readonly blockOf: Int32Array;
  readonly offsets: Float64Array;

  constructor(shapes: readonly (readonly number[])[]) {
    this.#shapes = shapes;
    this.blockOf = new Int32Array(shapes.length);
    this.offsets = new Float64Array(shapes.length);
    const own: ArrayBuffer[] = [];
    let sharedBytes = 0;
    for (const [i, shape] of shapes.entries()) {
      const sizeBytes = 4 * elementCount(shape);
      if (sizeBytes >= OWN_BLOCK_BYTES) {
        this.blockOf[i] = own.push(newBlock(sizeBytes));
      } else {
        this.offsets[i] = sharedBytes;
        sharedBytes += Math.ceil(sizeBytes / CACHE_LINE) * CACHE_LINE;
      }
    }
    this.blocks = [newBlock(sharedBytes), ...own];
  }

  take({ index, type, isCopy }: NamedOutput): StepOutput {
    const shape = this.#shapes[index];
    const Data = type === "int" ? Int32Array : Float32Array;
    const data = new Data(this.blocks[this.blockOf[index]], this.offsets[index], elementCount(shape));
    return { shape, data: isCopy ? data.slice() : data };
  }
}

/** Not cleared: every element of an output is written. */
function newBlock(sizeBytes: number): ArrayBuffer {
  return Buffer.allocUnsafeSlow(sizeBytes).buffer;
}

function elementCount(shape: readonly number[]): number {
  let n = 1;
  for (const size of shape) n *= size;
  return n;
}

function rowArrays({ sequence, position, sequences }: Rows) {
  return {
    sequence,
    position,
    ropeVariant: Int32Array.from(sequences, ({ ropeVariant }) => ropeVariant),
    pages: sequences.map(({ pages }) => Int32Array.from(pages)),
  };
}

/** One of a step's inputs of one type. */
function given<T>(name: string, inputs: ReadonlyMap<string, T> | undefined): T {
  const data = inputs?.get(name);
  if (data !== undefined) return data;
  throw new BackendError("backend.state", { path: name, expected: "the step must supply this input" });
}

function toFloat32(data: Float32Array | Float64Array): Float32Array {
  return data instanceof Float32Array ? data : Float32Array.from(data);
}
