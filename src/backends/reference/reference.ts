import { BackendError } from "../../errors.ts";
import type { Host } from "../../host.ts";
import type { CacheStorage, Primitive } from "../../tape/op.ts";
import { expand } from "../../tape/rewrite.ts";
import { concreteShape, type StepInputs } from "../../tape/sizes.ts";
import { leavesOf, type Tape } from "../../tape/tape.ts";
import { isLeaf, type Node, type Value } from "../../tape/value.ts";
import { verify } from "../../tape/verify.ts";
import type { FloatArray } from "../../tensor/dtype.ts";
import { decodeWeight } from "../../weights/decode.ts";
import { closedModelError } from "../closed-model-error.ts";
import type { Backend, Engine, LoadedWeights, Program, StepOutput } from "../contract.ts";
import { CachePool } from "./cache-pool.ts";
import { runNode } from "./run-node.ts";

/**
 * The executable specification: each primitive's own plain loops, one node after another, in float32 or float64
 * storage (sums are always float64). Slow on purpose; every other backend is tested against it.
 */
export const reference: Backend = {
  name: "reference",
  precisions: ["f32", "f64"],
  supports: (op) => op.kind === "primitive",
  taps: () => [],
  load: (weights) => new ReferenceEngine(weights),
};

interface ReferenceProgram extends Program {
  /** For each node the values that nothing needs after it. */
  readonly dead: readonly (readonly Value[])[];
}

/** Longest time that other tasks of the host wait for a step, or for many short ones, apart from a single node. */
const PAUSE_AFTER_MS = 10;

class ReferenceEngine implements Engine {
  readonly #model: LoadedWeights;
  readonly #host: Host;
  readonly #weights = new Map<string, FloatArray>();
  readonly #caches: CachePool;
  #lastPauseMs: number;
  #closed = false;

  constructor(model: LoadedWeights) {
    this.#model = model;
    this.#host = model.host;
    this.#lastPauseMs = model.host.nowMs();
    this.#caches = new CachePool(model.precision);
  }

  compile(tape: Tape): ReferenceProgram {
    const expanded = expand(tape);
    verify(expanded);
    return { tape: expanded, dead: deadAfter(expanded) };
  }

  copyPages(copies: readonly { readonly from: number; readonly to: number }[]): void {
    for (const { from, to } of copies) this.#caches.copyPage(from, to);
  }

  /** Programs hold nothing beyond themselves here. */
  release(): void {}

  reserve(nPages: number): void {
    this.#caches.reserve(nPages);
  }

  async run(program: ReferenceProgram, step: StepInputs, signal?: AbortSignal): Promise<Map<string, StepOutput>> {
    if (this.#closed) throw closedModelError();
    const data = await this.#leafData(program.tape, step).catch((error) => {
      // A file that was closed while it was read is no defect of the file.
      throw this.#closed ? closedModelError() : error;
    });
    for (const [i, node] of program.tape.nodes.entries()) {
      if (signal?.aborted) throw signal.reason;
      runNode(node as Node & { op: Primitive }, data, step, this.#model.precision);
      for (const value of program.dead[i]) data.delete(value);
      if (this.#host.nowMs() - this.#lastPauseMs > PAUSE_AFTER_MS) {
        await this.#host.pause();
        if (this.#closed) throw closedModelError();
        this.#lastPauseMs = this.#host.nowMs();
      }
    }
    return this.#outputs(program.tape, data, step);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#weights.clear();
    this.#caches.clear();
  }

  async #leafData(tape: Tape, step: StepInputs): Promise<Map<Value, FloatArray | Int32Array | CacheStorage>> {
    const data = new Map<Value, FloatArray | Int32Array | CacheStorage>();
    for (const value of leavesOf(tape)) {
      if (!isLeaf(value.from) || value.type === "rows") continue;
      const { kind, name } = value.from;
      if (kind === "weight") data.set(value, await this.#weight(name));
      else if (kind === "cache") data.set(value, this.#caches.layer(name, value.shape as [number, number, number]));
      else if (kind === "constant") data.set(value, this.#constant(value.from.data));
      else data.set(value, (value.type === "int" ? step.ints : step.floats)?.get(name) ?? missingInput(name));
    }
    return data;
  }

  async #weight(name: string): Promise<FloatArray> {
    const known = this.#weights.get(name);
    if (known !== undefined) return known;
    const { bindings, checkpoint, precision } = this.#model;
    const binding = bindings.get(name);
    if (binding === undefined) {
      throw new BackendError("backend.state", {
        path: name,
        expected: "a tape's weights must be bound to the checkpoint",
      });
    }
    const decoded = await decodeWeight(binding, checkpoint, precision);
    this.#weights.set(name, decoded);
    return decoded;
  }

  #constant(data: Float64Array): FloatArray {
    const { precision } = this.#model;
    if (precision === "f64") return data;
    return Float32Array.from(data);
  }

  #outputs(tape: Tape, data: ReadonlyMap<Value, unknown>, step: StepInputs): Map<string, StepOutput> {
    const outputs = new Map<string, StepOutput>();
    const taken = new Set<unknown>();
    for (const [name, value] of tape.outputs) {
      const array = data.get(value) as FloatArray | Int32Array;
      // A weight, or a value with two names, must not be handed out as memory that somebody else uses.
      const mustCopy = isLeaf(value.from) || taken.has(array);
      taken.add(array);
      outputs.set(name, { shape: concreteShape(value.shape, step), data: mustCopy ? array.slice() : array });
    }
    return outputs;
  }
}

function deadAfter(tape: Tape): Value[][] {
  const lastUse = new Map<Value, number>();
  for (const [i, node] of tape.nodes.entries()) {
    for (const value of [...node.outputs, ...node.inputs]) {
      if (value !== undefined && !isLeaf(value.from)) lastUse.set(value, i);
    }
  }
  const dead: Value[][] = tape.nodes.map(() => []);
  const kept = new Set(tape.outputs.values());
  for (const [value, i] of lastUse) if (!kept.has(value)) dead[i].push(value);
  return dead;
}

function missingInput(name: string): never {
  throw new BackendError("backend.state", { path: name, expected: "the step must supply this input" });
}
