import {
  BackendError,
  type Binding,
  type CacheUse,
  closedModelError,
  concreteShape,
  decodeWeight,
  type Engine,
  expand,
  type LoadedWeights,
  type LoweredProgram,
  lower,
  type Op,
  type Program,
  type Rows,
  rowSegments,
  type StepInputs,
  type StepOutput,
  type Tape,
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
    return { tape: expanded, lowered: lower(expanded), handle: undefined };
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
    const { lowered, tape } = program;
    const shapes = lowered.outputs.map(({ shape }) => concreteShape(shape, step));
    const { buffer, offsets } = outputMemory(shapes);
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
          ints: lowered.ints.map((name) => intInput(name, step)),
          out: buffer,
          outOffsets: offsets,
        },
        cancel,
      );
      if (!finished) throw signal?.reason;
    } finally {
      (signal as EventTarget | undefined)?.removeEventListener("abort", onAbort);
    }
    return namedOutputs(tape, lowered, shapes, buffer, offsets);
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

  async #weight({ name, isMatrix }: WeightUse): Promise<number> {
    const binding = this.#model.bindings.get(name);
    if (binding === undefined) {
      const expected = "a tape's weights must be bound to the checkpoint";
      throw new BackendError("backend.state", { path: name, expected });
    }
    const inPlace = this.#canMap(binding, isMatrix);
    const key = `${name} ${inPlace ? "mapped" : "copied"}`;
    const known = this.#weights.get(key);
    if (known !== undefined) return known;
    const index = inPlace ? this.#bindMapped(binding) : await this.#bindCopy(binding);
    this.#weights.set(key, index);
    return index;
  }

  /** Only matrices have kernels for stored formats; vectors and transposed matrices are converted once. */
  #canMap({ transposed, tensor }: Binding, isMatrix: boolean): boolean {
    return isMatrix && !transposed && this.#model.checkpoint.filePath(tensor) !== undefined;
  }

  #bindMapped(binding: Binding): number {
    const { shape, dtype } = binding;
    const [nRows, nCols] = [shape[0], shape[1] ?? 1];
    const path = this.#model.checkpoint.filePath(binding.tensor) as string;
    const file = this.#files.get(path) ?? this.#addon.mapFile(path);
    this.#files.set(path, file);
    const segments = rowSegments(binding).map((segment) => ({ file, ...segment }));
    return this.#engine.bindWeight(dtype, nRows, nCols, segments);
  }

  async #bindCopy(binding: Binding): Promise<number> {
    const data = await decodeWeight(binding, this.#model.checkpoint, "f32");
    const [nRows, nCols] = [binding.shape[0], binding.shape[1] ?? 1];
    return this.#engine.bindWeightData(nRows, nCols, data as Float32Array);
  }

  #cache({ name, shape, type }: CacheUse): number {
    const [nKvHeads, headDim, vHeadDim] = shape as readonly number[];
    const known = this.#caches.get(name) ?? this.#engine.bindCache(nKvHeads, headDim, vHeadDim, type);
    this.#caches.set(name, known);
    return known;
  }
}

export interface NativeProgram extends Program {
  readonly lowered: LoweredProgram;
  /** In the interpreter, once it has run. */
  handle: number | undefined;
}

/** Outputs lie this far apart, so that threads that write neighbours share no line. */
const CACHE_LINE = 64;

/** One block for all outputs of a step. */
function outputMemory(shapes: readonly (readonly number[])[]): { buffer: ArrayBuffer; offsets: Float64Array } {
  const offsets = new Float64Array(shapes.length);
  let bytes = 0;
  for (const [i, shape] of shapes.entries()) {
    offsets[i] = bytes;
    bytes += Math.ceil((4 * elementCount(shape)) / CACHE_LINE) * CACHE_LINE;
  }
  return { buffer: new ArrayBuffer(bytes), offsets };
}

function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function namedOutputs(
  tape: Tape,
  { outputs }: LoweredProgram,
  shapes: readonly (readonly number[])[],
  buffer: ArrayBuffer,
  offsets: Float64Array,
): Map<string, StepOutput> {
  const indices = new Map(outputs.map((value, i) => [value, i]));
  const named = new Map<string, StepOutput>();
  for (const [name, value] of tape.outputs) {
    const i = indices.get(value) as number;
    const Data = value.type === "int" ? Int32Array : Float32Array;
    const inBlock = () => new Data(buffer, offsets[i], elementCount(shapes[i]));
    // A lone output keeps the block.
    const isAlone = tape.outputs.size === 1;
    named.set(name, isAlone ? { shape: shapes[i], data: inBlock() } : new LazyOutput(shapes[i], inBlock));
  }
  return named;
}

/** Numbers that lie in the step's block until somebody wants them: most readers want few of many. */
class LazyOutput implements StepOutput {
  readonly shape: readonly number[];
  readonly #inBlock: () => Int32Array | Float32Array;
  #data: Int32Array | Float32Array | undefined;

  constructor(shape: readonly number[], inBlock: () => Int32Array | Float32Array) {
    this.shape = shape;
    this.#inBlock = inBlock;
  }

  /** In memory of its own, so that it can be transferred to a worker. */
  get data(): Int32Array | Float32Array {
    this.#data ??= this.#inBlock().slice();
    return this.#data;
  }
}

function rowArrays({ sequence, position, sequences }: Rows) {
  return {
    sequence,
    position,
    ropeVariant: Int32Array.from(sequences, ({ ropeVariant }) => ropeVariant),
    pages: sequences.map(({ pages }) => Int32Array.from(pages)),
  };
}

function intInput(name: string, { ints }: StepInputs): Int32Array {
  const data = ints.get(name);
  if (data !== undefined) return data;
  throw new BackendError("backend.state", { path: name, expected: "the step must supply this input" });
}
