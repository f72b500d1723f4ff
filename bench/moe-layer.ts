/** One sparse layer without its attention, as a bare tape on the native backend: as routed, and with every expert on. */
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { openFolder } from "../node/files.ts";
import { nativeBackend } from "../node/native/backend.ts";
import type { Engine, Program } from "../src/backends/contract.ts";
import { type GgufCheckpoint, openGguf } from "../src/checkpoint/gguf.ts";
import type { Host } from "../src/host.ts";
import { experts, gatedBy, sharedExpert, sparseOut } from "../src/nn/moe.ts";
import { deepSeekV3Router } from "../src/nn/routers.ts";
import { matmul } from "../src/ops/index.ts";
import { buildTape, input, weight } from "../src/tape/builder.ts";
import { Rows } from "../src/tape/rows.ts";
import type { Tape } from "../src/tape/tape.ts";
import { bindWeights } from "../src/weights/bind.ts";
import { type Bound, boundTree, namedWeights, stackedIn, stored } from "../src/weights/schema.ts";
import type { LayerSizes } from "./moe-shapes.ts";

const host: Host = { nowMs: () => performance.now(), pause: () => setImmediate() };

/** What is run: the layer as it is, the layer with every expert on, or plain products with all experts' matrices. */
export type LayerKind = "routed" | "all" | "plain";

export interface LayerStep {
  readonly ms: number;
  /** Experts that some row chose. */
  readonly nDistinct: number;
}

export class Layer {
  readonly #engine: Engine;
  readonly #checkpoint: GgufCheckpoint;
  readonly #programs: Readonly<Record<LayerKind, Program>>;
  readonly #sizes: LayerSizes;
  #seed = 1;

  private constructor(engine: Engine, checkpoint: GgufCheckpoint, sizes: LayerSizes) {
    this.#engine = engine;
    this.#checkpoint = checkpoint;
    this.#sizes = sizes;
    const { nExperts } = sizes;
    this.#programs = {
      routed: engine.compile(layerTape(sizes)),
      all: engine.compile(layerTape({ ...sizes, nExpertsPerToken: nExperts, nGroupsPerToken: sizes.nGroups })),
      plain: engine.compile(plainTape(sizes)),
    };
  }

  /** @throws Error where the native engine is not built. */
  static async open(file: string, sizes: LayerSizes, threads: number): Promise<Layer> {
    const backend = nativeBackend({ threads });
    if (backend === undefined) throw new Error("the native engine is not built; run npm run build");
    const checkpoint = await openGguf(await openFolder(path.dirname(file)), path.basename(file));
    const { weights: bindings } = bindWeights(namedWeights(layerWeights(sizes)), checkpoint, {
      prefix: "",
      ignored: [],
    });
    return new Layer(backend.load({ bindings, checkpoint, precision: "f32", host }), checkpoint, sizes);
  }

  /** Runs random rows that no step before had. */
  async step(kind: LayerKind, nRows: number): Promise<LayerStep> {
    const { dModel, dExpert, nExperts } = this.#sizes;
    const step = {
      rows: new Rows([{ pages: [], start: 0, nRows, ropeVariant: 0 }]),
      ints: new Map(),
      floats: new Map([
        ["x", this.#random(nRows * dModel)],
        ["post", this.#random(nRows * dExpert)],
      ]),
    };
    const start = performance.now();
    const outputs = await this.#engine.run(this.#programs[kind], step);
    const ms = performance.now() - start;
    if (!outputs.get("out")?.data.every(Number.isFinite)) throw new Error("what the layer gives must be finite");
    const indices = outputs.get("indices")?.data;
    return { ms, nDistinct: indices === undefined ? nExperts : new Set(indices).size };
  }

  async close(): Promise<void> {
    await this.#engine.close();
    await this.#checkpoint.close();
  }

  #random(length: number): Float32Array {
    return Float32Array.from({ length }, () => {
      this.#seed = (Math.imul(this.#seed, 1664525) + 1013904223) >>> 0;
      return this.#seed / 2 ** 31 - 1;
    });
  }
}

function layerWeights({ dModel, nExperts, dExpert, dShared }: LayerSizes) {
  const at = (name: string, shape: readonly number[]) => stored(`blk.0.${name}`, shape, { gguf: `blk.0.${name}` });
  const stack = stackedIn("", "blk.0", { experts: "experts" });
  return {
    router: {
      wRouter: at("ffn_gate_inp.weight", [nExperts, dModel]),
      selectionBias: at("exp_probs_b.bias", [nExperts]),
    },
    experts: {
      wGate: stack("gate", "gate", [nExperts, dExpert, dModel]),
      wUp: stack("up", "up", [nExperts, dExpert, dModel]),
      wDown: stack("down", "down", [nExperts, dModel, dExpert]),
    },
    shared: {
      wGate: at("ffn_gate_shexp.weight", [dShared, dModel]),
      wUp: at("ffn_up_shexp.weight", [dShared, dModel]),
      wDown: at("ffn_down_shexp.weight", [dModel, dShared]),
    },
  };
}

function layerTape(sizes: LayerSizes): Tape {
  const tree = layerWeights(sizes);
  const w = boundTree(tree, (name, { shape }) => weight(name, shape)) as Bound<typeof tree>;
  const { nExpertsPerToken, nGroups, nGroupsPerToken } = sizes;
  const choice = { nExpertsPerToken, groups: { nGroups, nGroupsPerToken }, normTopK: true, routedScale: 2.5 };
  return buildTape("layer", () => {
    const x = input("x", "float", ["T", sizes.dModel]);
    const routing = deepSeekV3Router(x, w.router, choice);
    const out = sparseOut(experts(x, routing, w.experts, gatedBy("silu")), sharedExpert(x, w.shared, "silu"));
    return { out, indices: routing.indices };
  });
}

/** All experts' matrices one behind another, as one of each kind. */
function plainTape({ dModel, nExperts, dExpert }: LayerSizes): Tape {
  return buildTape("plain", () => {
    const x = input("x", "float", ["T", dModel]);
    return {
      gate: matmul(x, weight("experts.wGate", [nExperts * dExpert, dModel])),
      up: matmul(x, weight("experts.wUp", [nExperts * dExpert, dModel])),
      out: matmul(input("post", "float", ["T", dExpert]), weight("experts.wDown", [nExperts * dModel, dExpert])),
    };
  });
}
