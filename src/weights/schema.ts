import type { Value } from "../tape/value.ts";

/** Rows of one tensor of a checkpoint. */
export interface Part {
  /** The tensor's name there. */
  readonly tensor: string;
  /** Stored [in, out] (Conv1D of GPT-2): its columns are the weight's rows. */
  readonly transposed: boolean;
  /** Half-open range of rows (of columns where transposed); all where undefined. */
  readonly rows: readonly [from: number, to: number] | undefined;
  /** The heads whose rows lie in the order of `adjacentPairs`; undefined where rows lie in the weight's own order. */
  readonly pairedHeads: number | undefined;
}

/** One weight that an architecture declares: its shape [out, in], [out] or [n, d], and where a checkpoint has it. */
export class WeightSpec {
  readonly shape: readonly number[];
  /** In a Hugging Face checkpoint. */
  readonly part: Part;
  /** In a GGUF file; undefined where none is known to hold it. */
  readonly gguf: Part | undefined;

  constructor(shape: readonly number[], part: Part, gguf?: Part) {
    this.shape = shape;
    this.part = part;
    this.gguf = gguf;
  }
}

interface StoredOptions {
  /** Of the Hugging Face tensor; those of GGUF are [out, in] always. */
  readonly transposed?: boolean;
  readonly rows?: readonly [from: number, to: number];
  /** Name in a GGUF file. */
  readonly gguf?: string;
  /** Heads of q or k whose rows a GGUF file holds as `adjacentPairs` says: those of its architecture "llama". */
  readonly ggufPairedHeads?: number;
}

/** Declares a weight that a Hugging Face checkpoint stores under `tensor`. */
export function stored(tensor: string, shape: readonly number[], options: StoredOptions = {}): WeightSpec {
  const { transposed = false, rows, gguf, ggufPairedHeads: pairedHeads } = options;
  return new WeightSpec(
    shape,
    { tensor, transposed, rows, pairedHeads: undefined },
    gguf === undefined ? undefined : { tensor: gguf, transposed: false, rows, pairedHeads },
  );
}

/** Declares weights of one layer: their names go on from the layer's in a Hugging Face checkpoint and in a GGUF file. */
export function storedIn(layer: string, ggufLayer: string) {
  return (tensor: string, gguf: string, shape: readonly number[], options: Omit<StoredOptions, "gguf"> = {}) =>
    stored(`${layer}.${tensor}`, shape, { ...options, gguf: `${ggufLayer}.${gguf}` });
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
