import type { Value } from "../tape/value.ts";

/** Rows of one tensor of a checkpoint. */
export interface Piece {
  /** The tensor's name there. */
  readonly tensor: string;
  /** Index on the leading axis, behind which everything else is meant: one expert's matrix of [E, out, in]. */
  readonly matrix?: number;
  /** Half-open range of rows (of columns where transposed); all where undefined. */
  readonly rows?: readonly [from: number, to: number];
  /** Every so many-th row of the range, its first one on; 1 where undefined. */
  readonly step?: number;
  /** `tensor` holds the blocks of MXFP4, [..., rows, in / 32, 16]: the tensor of their scales, [..., rows, in / 32]. */
  readonly scales?: string;
}

/** One way in which checkpoints hold a weight. */
export interface Layout {
  /** Their rows follow one another. */
  readonly pieces: readonly Piece[];
  /** Each matrix is stored [in, out] (Conv1D of GPT-2): its columns are the weight's rows. */
  readonly transposed: boolean;
  /** The heads whose rows lie in the order of `adjacentPairs`; undefined where rows lie in the weight's own order. */
  readonly pairedHeads?: number;
  /** What is to be added to the stored numbers: Gemma stores its gains less 1. */
  readonly offset?: number;
}

/**
 * One weight that an architecture declares: its shape and where checkpoints have it. A matrix is [out, in] and a vector
 * [n]; those of many experts are [nExperts, out, in] and [nExperts, n].
 */
export class WeightSpec {
  readonly shape: readonly number[];
  /** In Hugging Face checkpoints: the first of which every tensor is there is taken, and the first is written. */
  readonly huggingFace: readonly Layout[];
  /** In GGUF files; empty where none is known to hold it. */
  readonly gguf: readonly Layout[];

  constructor(shape: readonly number[], huggingFace: readonly Layout[], gguf: readonly Layout[] = []) {
    this.shape = shape;
    this.huggingFace = huggingFace;
    this.gguf = gguf;
  }
}

interface MatricesOptions {
  readonly transposed?: boolean;
  readonly rows?: Piece["rows"];
  readonly step?: number;
}

interface WholeOptions extends MatricesOptions {
  readonly offset?: number;
}

interface StoredOptions extends WholeOptions {
  /** Name in a GGUF file, where matrices are [out, in] always and nothing is taken off. */
  readonly gguf?: string;
  /** Heads of q or k whose rows a GGUF file holds as `adjacentPairs` says: those of its architecture "llama". */
  readonly ggufPairedHeads?: number;
}

/** Declares a weight that a Hugging Face checkpoint stores under `tensor`. */
export function stored(tensor: string, shape: readonly number[], options: StoredOptions = {}): WeightSpec {
  const { transposed, rows, step, offset, gguf, ggufPairedHeads: pairedHeads } = options;
  const inGguf = { ...whole(gguf ?? "", { rows, step }), pairedHeads };
  return new WeightSpec(shape, [whole(tensor, { transposed, rows, step, offset })], gguf === undefined ? [] : [inGguf]);
}

/** Declares weights of one layer: their names go on from the layer's in a Hugging Face checkpoint and in a GGUF file. */
export function storedIn(layer: string, ggufLayer: string) {
  return (tensor: string, gguf: string, shape: readonly number[], options: Omit<StoredOptions, "gguf"> = {}) =>
    stored(`${layer}.${tensor}`, shape, { ...options, gguf: `${ggufLayer}.${gguf}` });
}

/** The rows of one tensor, or a range of them. */
export function whole(tensor: string, { transposed = false, rows, step, offset }: WholeOptions = {}): Layout {
  return { pieces: [{ tensor, rows, step }], transposed, offset };
}

/** The rows of each of `n` tensors; `{e}` in their names stands for 0 to n - 1. */
export function numbered(tensors: string, n: number): Layout {
  return {
    pieces: Array.from({ length: n }, (_, e) => ({ tensor: tensors.replace("{e}", `${e}`) })),
    transposed: false,
  };
}

/** The rows of each of `n` matrices in one tensor [n, out, in], or of each of n vectors [n, out]; or a range of each. */
export function matrices(tensor: string, n: number, { transposed = false, rows, step }: MatricesOptions = {}): Layout {
  return { pieces: Array.from({ length: n }, (_, matrix) => ({ tensor, matrix, rows, step })), transposed };
}

/**
 * As `matrices`, of what is stored in MXFP4 with its scales apart: `{tensor}_blocks` u8 [n, out, in / 32, 16] and
 * `{tensor}_scales` u8 [n, out, in / 32] (`integrations/mxfp4.py` of transformers).
 */
export function mxfp4Matrices(tensor: string, n: number, options: Omit<MatricesOptions, "transposed"> = {}): Layout {
  const { pieces, transposed } = matrices(`${tensor}_blocks`, n, options);
  return { pieces: pieces.map((piece) => ({ ...piece, scales: `${tensor}_scales` })), transposed };
}

/** Of each head, whose `nRows` rows follow those of the head before, the rows [from, to). */
export function ofHeads(tensor: string, nHeads: number, nRows: number, [from, to]: readonly [number, number]): Layout {
  const rows = (head: number) => [head * nRows + from, head * nRows + to] as const;
  return { pieces: Array.from({ length: nHeads }, (_, head) => ({ tensor, rows: rows(head) })), transposed: false };
}

/** Names of the experts' tensors in a Hugging Face checkpoint, up to the number or the projection. */
interface ExpertNames {
  /** `{experts}.{e}.{name}.weight`: each expert by itself. */
  readonly experts: string;
  /** `{packed}.gate_up_proj` and `{packed}.down_proj`: all together, as transformers holds them; `experts` where undefined. */
  readonly packed?: string;
}

/**
 * Declares the matrices [nExperts, out, in] of one layer's experts, named `name` where each has its own tensor. Packed
 * tensors hold the rows of gate and then those of up, in newer GGUF files as well; older ones have a tensor each.
 */
export function stackedIn(layer: string, ggufLayer: string, { experts, packed = experts }: ExpertNames) {
  return (kind: "gate" | "up" | "down", name: string, shape: readonly [nExperts: number, out: number, in_: number]) => {
    const [n, out] = shape;
    const isDown = kind === "down";
    const rows = kind === "gate" ? ([0, out] as const) : ([out, 2 * out] as const);
    const half = (tensor: string): Layout => matrices(tensor, n, { rows });
    const inHuggingFace = [
      numbered(`${layer}.${experts}.{e}.${name}.weight`, n),
      isDown ? whole(`${layer}.${packed}.down_proj`) : half(`${layer}.${packed}.gate_up_proj`),
    ];
    const inGguf = [
      whole(`${ggufLayer}.ffn_${kind}_exps.weight`),
      ...(isDown ? [] : [half(`${ggufLayer}.ffn_gate_up_exps.weight`)]),
      numbered(`${ggufLayer}.ffn_${kind}.{e}.weight`, n),
    ];
    return new WeightSpec(shape, inHuggingFace, inGguf);
  };
}

/** Rows of the pieces that say which ones they have. */
export function nGivenRows({ pieces }: Layout): number {
  return pieces.reduce((sum, { rows, step }) => sum + (rows === undefined ? 0 : countRows(rows, step)), 0);
}

/** Rows of each piece of a weight with `nRows`: those that are all of a tensor or matrix are alike. */
export function pieceRows(layout: Layout, nRows: number): number[] {
  const nWhole = layout.pieces.filter(({ rows }) => rows === undefined).length;
  const share = (nRows - nGivenRows(layout)) / nWhole;
  return layout.pieces.map(({ rows, step }) => (rows === undefined ? share : countRows(rows, step)));
}

/** Rows of a range, every `step`-th of it. */
export function countRows([from, to]: readonly [from: number, to: number], step = 1): number {
  return Math.ceil((to - from) / step);
}

/**
 * Where each row of q or k lies when rotary pairs lie side by side: a head of size d has its rows i and i + d/2, which
 * turn together, as stored rows 2i and 2i + 1 (`LlamaModel.permute` of llama.cpp's converter).
 */
export function adjacentPairs(nRows: number, nHeads: number): Int32Array {
  const headDim = nRows / nHeads;
  return Int32Array.from({ length: nRows }, (_, row) => {
    const inHead = row % headDim;
    const [pair, half] = [inHead % (headDim / 2), Math.floor(inHead / (headDim / 2))];
    return row - inHead + 2 * pair + half;
  });
}

/** Weights by group: `{ embed, lnFinal: { gain }, blocks: [{ attn: { wQ, ... } }] }`; absent ones are undefined. */
export type WeightTree = WeightSpec | undefined | readonly WeightTree[] | { readonly [name: string]: WeightTree };

/** The same tree with a value of the tape for each weight, as a forward function takes it. */
export type Bound<W> = W extends WeightSpec
  ? Value
  : W extends object
    ? { readonly [K in keyof W]: Bound<W[K]> }
    : undefined;

/** Canonical names (`blocks.0.attn.wQ`) of all weights; one that stands in two places has the name of the first. */
export function namedWeights(tree: WeightTree): Map<string, WeightSpec> {
  const names = new Map<string, WeightSpec>();
  const seen = new Set<WeightSpec>();
  visit(tree, "", (path, spec) => {
    if (!seen.has(spec)) names.set(path, spec);
    seen.add(spec);
  });
  return names;
}

function visit(tree: WeightTree, path: string, take: (path: string, spec: WeightSpec) => void): void {
  if (tree === undefined) return;
  if (tree instanceof WeightSpec) take(path, tree);
  else for (const [key, child] of Object.entries(tree)) visit(child, path === "" ? key : `${path}.${key}`, take);
}

const GROUP = Symbol("group");

/** The tree as `Bound`, with `toValue(name, spec)` for each weight; every group knows its name (see `groupName`). */
export function boundTree(tree: WeightTree, toValue: (name: string, spec: WeightSpec) => Value): unknown {
  const values = new Map<WeightSpec, Value>();
  for (const [name, spec] of namedWeights(tree)) values.set(spec, toValue(name, spec));
  const bind = (node: WeightTree, key: string): unknown => {
    if (node === undefined) return undefined;
    if (node instanceof WeightSpec) return values.get(node);
    if (Array.isArray(node)) return node.map((child, i) => bind(child, `${i}`));
    const group = Object.entries(node).map(([name, child]) => [name, bind(child, name)]);
    return Object.assign(Object.fromEntries(group), { [GROUP]: key });
  };
  return bind(tree, "");
}

/** The last part of a group's path, which is also the scope of what is computed with it: `ln1`, `attn`, `mlp`. */
export function groupName(group: object): string {
  return (group as { [GROUP]?: string })[GROUP] ?? "";
}
