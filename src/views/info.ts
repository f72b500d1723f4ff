import { ModelTape } from "../architectures/architecture.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { readConfig } from "../run/config.ts";
import { expand } from "../tape/rewrite.ts";
import { Rows } from "../tape/rows.ts";
import { concreteDims, type StepInputs } from "../tape/sizes.ts";
import type { Tape } from "../tape/tape.ts";
import { isLeaf, type Node } from "../tape/value.ts";
import { DTYPE_SIZE_BYTES } from "../tensor/dtype.ts";
import { tensorSizeBytes } from "../tensor/format.ts";
import { numel } from "../tensor/shape.ts";
import type { Binding, Bindings } from "../weights/bind.ts";
import { namedWeights } from "../weights/schema.ts";

/** What a model is, in numbers. */
export interface ModelInfo {
  readonly architecture: string;
  readonly config: ModelConfig;
  readonly counts: {
    /** Tied weights count once. */
    readonly parameters: number;
    readonly layers: number;
    /** Of all layers together. */
    readonly heads: number;
    readonly neurons: number;
  };
  /** Bytes of all weights, as stored in the checkpoint or at 16 and 32 bits. */
  readonly weightBytes: { readonly stored?: number; readonly bits16: number; readonly bits32: number };
  /** Bytes of the weights in each format of the checkpoint; the largest share first. */
  readonly formatBytes?: Readonly<Record<string, number>>;
  /** Bytes that each token takes in the key-value cache, in float32. */
  readonly cacheBytesPerToken: number;
  /** Work of decoding one token: at the start of a text, and with the context full. */
  readonly perToken: readonly PerToken[];
  /** Left out on purpose, with the reason. */
  readonly ignored: readonly { readonly name: string; readonly reason: string }[];
  readonly tape: Tape;
}

export interface PerToken {
  /** Tokens before this one. */
  readonly nCached: number;
  /** A multiply-add counts as 2. */
  readonly flops: number;
  /** Elements of weights read. */
  readonly weightElements: number;
}

/** Reads a config.json alone; no weights are needed. */
export function describeConfig(json: unknown, fileName: string, ignore: readonly string[] = []): ModelInfo {
  const { architecture, config, ignoredKeys } = readConfig(json, fileName, ignore);
  const tree = architecture.weights(config, () => true);
  const nParameters = [...namedWeights(tree).values()].reduce((sum, { shape }) => sum + numel(shape), 0);
  const { tape } = new ModelTape(architecture, config, tree);
  const ignored = ignoredKeys.map((name) => ({ name, reason: "left out on request" }));
  return describe(architecture.name, config, tape, nParameters, ignored);
}

/** An open model's own numbers, which the checkpoint may change (a head that is there or not). */
export function describeModel(model: {
  readonly architecture: string;
  readonly config: ModelConfig;
  readonly tape: Tape;
  readonly bindings: Bindings;
  readonly ignoredKeys: readonly string[];
}): ModelInfo {
  const weights = [...model.bindings.weights.values()];
  const nParameters = weights.reduce((sum, { shape }) => sum + numel(shape), 0);
  const ignored = [
    ...model.bindings.ignored.map(({ tensor, reason }) => ({ name: tensor, reason })),
    ...model.ignoredKeys.map((name) => ({ name, reason: "left out on request" })),
  ];
  const info = describe(model.architecture, model.config, model.tape, nParameters, ignored);
  const formatBytes = bytesByFormat(weights);
  const stored = Object.values(formatBytes).reduce((sum, bytes) => sum + bytes, 0);
  return { ...info, weightBytes: { stored, ...info.weightBytes }, formatBytes };
}

function bytesByFormat(weights: readonly Binding[]): Record<string, number> {
  const bytes: Record<string, number> = {};
  for (const { shape, dtype } of weights) bytes[dtype] = (bytes[dtype] ?? 0) + (tensorSizeBytes(shape, dtype) ?? 0);
  return Object.fromEntries(Object.entries(bytes).sort(([, a], [, b]) => b - a));
}

function describe(
  architecture: string,
  config: ModelConfig,
  tape: Tape,
  nParameters: number,
  ignored: ModelInfo["ignored"],
): ModelInfo {
  const { nLayers, nHeads, nKvHeads, headDim, dFf, contextLength } = config;
  const expanded = expand(tape);
  return {
    architecture,
    config,
    counts: { parameters: nParameters, layers: nLayers, heads: nLayers * nHeads, neurons: nLayers * dFf },
    weightBytes: { bits16: 2 * nParameters, bits32: 4 * nParameters },
    cacheBytesPerToken: 2 * nLayers * nKvHeads * headDim * DTYPE_SIZE_BYTES.f32,
    perToken: [0, contextLength - 1].map((nCached) => perToken(expanded, nCached)),
    ignored,
    tape,
  };
}

/** Sums the ops' own costs over a step of one row. */
function perToken(expanded: Tape, nCached: number): PerToken {
  const rows = new Rows([{ pages: [], start: nCached, nRows: 1, ropeVariant: 0 }]);
  const one = new Int32Array(1);
  const step: StepInputs = {
    rows,
    ints: new Map([
      ["tokens", one],
      ["R0", one],
    ]),
  };
  let [flops, weightElements] = [0, 0];
  for (const node of expanded.nodes) {
    if (node.op.kind === "composite") continue;
    const cost = node.op.cost(concreteDims(node, step), node.attrs);
    flops += cost.flops;
    weightElements += weightReads(node, cost.reads);
  }
  return { nCached, flops, weightElements };
}

function weightReads({ op, inputs }: Node, partial: Readonly<Record<string, number>>): number {
  return op.signature.inputs.reduce((sum, { name }, i) => {
    const value = inputs[i];
    if (value === undefined || !isLeaf(value.from) || value.from.kind !== "weight") return sum;
    return sum + (partial[name] ?? numel(value.shape as number[]));
  }, 0);
}
