import { ModelTape } from "../architectures/architecture.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { readConfig } from "../run/config.ts";
import { expand } from "../tape/rewrite.ts";
import { Rows } from "../tape/rows.ts";
import { concreteDims, type StepInputs } from "../tape/sizes.ts";
import { leavesOf, type Tape } from "../tape/tape.ts";
import { isLeaf, type Node } from "../tape/value.ts";
import { tensorSizeBytes } from "../tensor/format.ts";
import { numel } from "../tensor/shape.ts";
import type { Binding, Bindings } from "../weights/bind.ts";
import type { Scales } from "../weights/pieces.ts";
import { namedWeights } from "../weights/schema.ts";
import { isStoredByRows } from "../weights/segments.ts";

/** What a model is, in numbers. */
export interface ModelInfo {
  readonly architecture: string;
  readonly config: ModelConfig;
  readonly counts: {
    /** Of the weights that the model declares; tied ones count once. */
    readonly parameters: number;
    /** Those that one token meets: of experts the ones that it goes to, and all of everything else. */
    readonly activeParameters: number;
    readonly layers: number;
    /** Layers whose MLP is many experts. */
    readonly sparseLayers: number;
    /** Of all layers together. */
    readonly heads: number;
    /** Of all layers together, and of all their experts. */
    readonly neurons: number;
    /** Those that run for one token. */
    readonly activeNeurons: number;
  };
  /** Bytes of all weights, as stored in the checkpoint or at 16 and 32 bits. */
  readonly weightBytes: { readonly stored?: number; readonly bits16: number; readonly bits32: number };
  /** Bytes of the weights in each format of the checkpoint; the largest share first. */
  readonly formatBytes?: Readonly<Record<string, number>>;
  /**
   * Matrices that are not stored as they are multiplied, mostly transposed ones: the native engine keeps an f32 copy of
   * each, of so many bytes altogether. All others stay in their files. Vectors, which are always copied, are not counted.
   */
  readonly converted?: { readonly weights: readonly string[]; readonly bytes: number };
  /** Bytes that each token takes in the key-value cache at 16 and 32 bits; golgi keeps it in float32 unless asked. */
  readonly cacheBytesPerToken: { readonly bits16: number; readonly bits32: number };
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
  const { tape } = new ModelTape(architecture, config, tree);
  const ignored = [...furtherLayers(config), ...ignoredKeys.map((name) => ({ name, reason: "left out on request" }))];
  return describe(architecture.name, config, tape, namedWeights(tree), ignored);
}

/** Layers that a checkpoint holds beyond those of the model. */
function furtherLayers({ nMtpLayers = 0 }: ModelConfig): { name: string; reason: string }[] {
  if (nMtpLayers === 0) return [];
  const name = nMtpLayers === 1 ? "the layer after the last" : `the ${nMtpLayers} layers after the last`;
  return [{ name, reason: "multi-token prediction (MTP), which no other layer reads" }];
}

/** An open model's own numbers, which the checkpoint may change (a head that is there or not). */
export function describeModel(model: {
  readonly architecture: string;
  readonly config: ModelConfig;
  readonly tape: Tape;
  readonly bindings: Bindings;
  readonly ignoredKeys: readonly string[];
}): ModelInfo {
  const { weights } = model.bindings;
  const ignored = [
    ...model.bindings.ignored.map(({ tensor, reason }) => ({ name: tensor, reason })),
    ...model.ignoredKeys.map((name) => ({ name, reason: "left out on request" })),
  ];
  const info = describe(model.architecture, model.config, model.tape, weights, ignored);
  const formatBytes = bytesByFormat([...weights.values()]);
  const stored = Object.values(formatBytes).reduce((sum, bytes) => sum + bytes, 0);
  const converted = convertedMatrices(model.tape, weights);
  return { ...info, weightBytes: { stored, ...info.weightBytes }, formatBytes, converted };
}

/** Of what the tape reads as matrices, what a backend cannot read in place. */
function convertedMatrices(tape: Tape, weights: Bindings["weights"]): ModelInfo["converted"] {
  const matrices = tape.nodes.flatMap(({ op, inputs }) =>
    op.signature.inputs.flatMap(({ name }, i) => {
      const leaf = op.matrices.includes(name) ? inputs[i]?.from : undefined;
      return leaf !== undefined && isLeaf(leaf) && leaf.kind === "weight" ? [leaf.name] : [];
    }),
  );
  const isConverted = (name: string): boolean => !isStoredByRows(weights.get(name) as Binding);
  const names = [...new Set(matrices)].filter(isConverted);
  const bytes = names.reduce((sum, name) => sum + 4 * numel((weights.get(name) as Binding).shape), 0);
  return { weights: names, bytes };
}

function bytesByFormat(weights: readonly Binding[]): Record<string, number> {
  const bytes: Record<string, number> = {};
  const scales = new Map<Scales["tensor"], string>();
  for (const { shape, dtype, pieces } of weights) {
    bytes[dtype] = (bytes[dtype] ?? 0) + (tensorSizeBytes(shape, dtype) ?? 0);
    for (const { scales: apart } of pieces) if (apart !== undefined) scales.set(apart.tensor, dtype);
  }
  // Weights that are rows of one tensor share its scales.
  for (const [{ sizeBytes }, dtype] of scales) bytes[dtype] += sizeBytes;
  return Object.fromEntries(Object.entries(bytes).sort(([, a], [, b]) => b - a));
}

function describe(
  architecture: string,
  config: ModelConfig,
  tape: Tape,
  weights: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  ignored: ModelInfo["ignored"],
): ModelInfo {
  const { nLayers, nHeads, sparse, contextLength } = config;
  const expanded = expand(tape);
  const parameters = countWeights(weights, () => 1);
  const share = sparse === undefined ? 1 : sparse.nExpertsPerToken / sparse.nExperts;
  const nCached = cacheElements(tape);
  return {
    architecture,
    config,
    counts: {
      parameters,
      activeParameters: countWeights(weights, (name) => (/\.experts\.\w+$/.test(name) ? share : 1)),
      layers: nLayers,
      sparseLayers: sparse?.layers.filter(Boolean).length ?? 0,
      heads: nLayers * nHeads,
      neurons: countNeurons(config, sparse?.nExperts),
      activeNeurons: countNeurons(config, sparse?.nExpertsPerToken),
    },
    weightBytes: { bits16: 2 * parameters, bits32: 4 * parameters },
    cacheBytesPerToken: { bits16: 2 * nCached, bits32: 4 * nCached },
    perToken: [0, contextLength - 1].map((before) => perToken(expanded, before)),
    ignored,
    tape,
  };
}

/** Elements of all weights, of each the share that is asked for. */
function countWeights(
  weights: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  share: (name: string) => number,
): number {
  return [...weights].reduce((sum, [name, { shape }]) => sum + Math.round(share(name) * numel(shape)), 0);
}

/** Neurons of all layers, with so many experts in each sparse one. */
function countNeurons({ nLayers, dFf, sparse }: ModelConfig, nExperts = 0): number {
  const { layers = [], dExpert = 0, dShared = 0 } = sparse ?? {};
  const nSparse = layers.filter(Boolean).length;
  return (nLayers - nSparse) * dFf + nSparse * (nExperts * dExpert + dShared);
}

/** Numbers that all layers together keep of a token. */
function cacheElements(tape: Tape): number {
  const caches = leavesOf(tape).filter(({ from }) => isLeaf(from) && from.kind === "cache");
  return caches.reduce((sum, { shape }) => {
    const [nHeads, kDim, vDim] = shape as readonly number[];
    return sum + nHeads * (kDim + vDim);
  }, 0);
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
