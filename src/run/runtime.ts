import type { Architecture } from "../architectures/architecture.ts";
import { ModelTape } from "../architectures/architecture.ts";
import type { Backend, LoadedWeights } from "../backends/contract.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { PointCatalog } from "../points/catalog.ts";
import type { KvType } from "../tape/value.ts";
import type { WeightTree } from "../weights/schema.ts";
import { Executor } from "./executor.ts";
import { Scheduler } from "./scheduler.ts";

/** A model's tape for one type of cache, and what runs it. */
export interface Runtime {
  readonly modelTape: ModelTape;
  readonly executor: Executor;
  readonly scheduler: Scheduler;
  close(): Promise<void>;
}

/** Makes a model's runtimes when they are first asked for: caches of another type make another tape. */
export class Runtimes {
  readonly #make: (kv: KvType) => Runtime;
  readonly #made = new Map<KvType, Runtime>();

  constructor(
    backend: Backend,
    architecture: Architecture,
    config: ModelConfig,
    tree: WeightTree,
    weights: LoadedWeights,
    catalog: () => PointCatalog,
  ) {
    this.#make = (kv) => {
      const modelTape = new ModelTape(architecture, config, tree, kv);
      const engine = backend.load(weights);
      const { precision, host } = weights;
      const executor = new Executor({
        tape: modelTape.tape,
        unembed: (resid) => modelTape.unembed(resid),
        taps: (op) => backend.taps(op),
        catalog,
        engine,
        precision,
        vocabSize: config.vocabSize,
        contextLength: config.contextLength,
        rope: config.rope,
      });
      return { modelTape, executor, scheduler: new Scheduler(executor, host), close: () => engine.close() };
    };
  }

  get(kv: KvType): Runtime {
    const known = this.#made.get(kv) ?? this.#make(kv);
    this.#made.set(kv, known);
    return known;
  }

  async close(): Promise<void> {
    for (const runtime of this.#made.values()) await runtime.close();
  }
}
