import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { PointError, RequestError, suggest } from "../errors.ts";
import { type Address, type ParsedAddress, parseAddress } from "../points/address.ts";
import type { PointCatalog } from "../points/catalog.ts";
import type { ComputeFormat } from "../tensor/format.ts";
import { formatBytes, numel } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Binding, Bindings } from "../weights/bind.ts";
import { decodeSlice } from "../weights/decode.ts";
import { type Range, storedSlices, type WeightSlice, wholeSlice } from "../weights/slice.ts";

/** Part of a weight that belongs to a component, in the numbers that the engine computes with. */
export interface WeightPart {
  /** Canonical name of the weight, such as `blocks.5.mlp.wDown`. */
  readonly weight: string;
  /** Sizes of the whole weight: [out, in] or [out]; of experts [nExperts, out, in] or [nExperts, out]. */
  readonly weightShape: readonly number[];
  /** Which expert's part of it; undefined where it belongs to no single one. */
  readonly expert: number | undefined;
  /** Which of its rows and columns; all where undefined. */
  readonly rows: Range | undefined;
  readonly columns: Range | undefined;
  /** Without the axes along which it is a single expert, row or column. */
  readonly values: Tensor<Float32Array>;
  /** One for each tensor. */
  readonly stored: readonly StoredPart[];
}

/** Where the numbers lie in the model's files. */
export interface StoredPart {
  readonly file: string;
  readonly tensor: string;
  readonly format: ComputeFormat;
  /**
   * Of the tensor as it is stored, the rows of its matrices one behind another; its columns are the weight's rows if it is
   * stored transposed. Of rows by turns those between are another weight's.
   */
  readonly rows: Range;
  readonly columns: Range;
  readonly transposed: boolean;
  /** Whether the rows lie in another order in the file, as GGUF has those of rotary heads. */
  readonly isReordered: boolean;
}

/** The weights of a component. */
export interface WeightReport {
  /** As it was asked for. */
  readonly address: string;
  readonly parts: readonly WeightPart[];
}

/** Most numbers that one report may hold. */
const MAX_BYTES = 2 ** 31;

export interface WeightSources {
  readonly config: ModelConfig;
  readonly bindings: Bindings;
  readonly checkpoint: Checkpoint;
  readonly catalog: () => PointCatalog;
}

/** A weight and the part of it that is meant: single experts, rows or columns lose their axis. */
interface Selected {
  readonly binding: Binding;
  readonly expert?: number;
  readonly rows?: Range | number;
  readonly columns?: Range | number;
}

const COMPONENTS =
  "it must be a neuron, a head, q, k or v of a head, an expert, its weight, a block, its attn, mlp, router or latents, or a weight's name";

/** See `Model.weight`. */
export async function reportWeight(address: string, sources: WeightSources): Promise<WeightReport> {
  const selected = byWeightName(address, sources) ?? byAddress(address, sources);
  checkSize(address, selected);
  const parts: WeightPart[] = [];
  for (const one of selected) parts.push(await readPart(one, sources.checkpoint));
  return { address, parts };
}

/** A weight by its canonical name, or the weights of a tensor of the file; each perhaps with one row, or one expert. */
function byWeightName(address: string, { bindings }: WeightSources): Selected[] | undefined {
  const [, name, index] = /^(.*?)(?:\[(\d+)\])?$/.exec(address) ?? [];
  const own = bindings.weights.get(name);
  const found =
    own === undefined
      ? [...bindings.weights.values()].flatMap((binding) => inTensor(binding, name))
      : [{ binding: own } satisfies Selected];
  if (found.length === 0) return undefined;
  if (index === undefined) return found;
  const row = Number(index);
  const [{ binding, expert }] = found;
  if (found.length > 1) {
    throw new RequestError("request.option", {
      path: address,
      expected: "a row must be one of a single weight",
      got: `${name}, which holds ${found.map((each) => each.binding.name).join(", ")}`,
      remedy: `Ask for one of them: ${binding.name}[${row}].`,
    });
  }
  const isStack = expert === undefined && binding.shape.length > 2;
  const nRows = binding.shape[expert === undefined ? 0 : 1];
  if (row < nRows) return [isStack ? { binding, expert: row } : { binding, expert, rows: row }];
  throw new RequestError("request.option", {
    path: address,
    expected: `${name} has ${isStack ? "experts" : "rows"} 0 to ${nRows - 1}`,
    got: `${row}`,
  });
}

/** What of a weight lies in the tensor of that name: an expert's matrix, or all of it. */
function inTensor(binding: Binding, name: string): Selected[] {
  const { pieces, shape, rowLength: length } = binding;
  const own = pieces.filter(({ tensor }) => tensor.name === name);
  if (own.length === 0) return [];
  const [{ firstRow, nRows }] = own;
  const nExpertRows = numel(shape.slice(1)) / length;
  const isExpert = own.length === 1 && pieces.length > 1 && nRows === nExpertRows && firstRow % nExpertRows === 0;
  return [isExpert ? { binding, expert: firstRow / nExpertRows } : { binding }];
}

function byAddress(text: string, sources: WeightSources): Selected[] {
  const { addresses, positions } = parse(text, sources);
  if (positions !== undefined) {
    throw new PointError("point.positions", {
      path: text,
      expected: "weights are the same at all positions",
      got: JSON.stringify(positions),
      remedy: "Leave the positions out.",
    });
  }
  return addresses.flatMap((address) => weightsOf(address, sources));
}

function parse(text: string, { bindings, catalog }: WeightSources): ParsedAddress {
  try {
    return parseAddress(text, catalog());
  } catch (cause) {
    if (!(cause instanceof PointError) || cause.code !== "point.unknown") throw cause;
    const names = [...bindings.weights.values()].flatMap(({ name, pieces }) => [
      name,
      ...pieces.map(({ tensor }) => tensor.name),
    ]);
    throw new PointError("point.unknown", { path: text, expected: COMPONENTS, remedy: suggest(text, names), cause });
  }
}

/** Which weights make up a component. */
function weightsOf(address: Address, { config, bindings }: WeightSources): Selected[] {
  const { entry, index } = address;
  const inBlock = entry.row.name.replace("blocks.{i}.", "");
  const below = (group: string): Binding[] => {
    return [...bindings.weights.values()].filter(({ name }) => name.startsWith(`blocks.${entry.layer}.${group}`));
  };
  const isWhole = index.length === 0;
  const expert = entry.ofExpert?.expert;
  const groups = isWhole && expert === undefined ? GROUPS[inBlock] : undefined;
  if (groups !== undefined) return groups.flatMap(below).map((binding) => ({ binding }));
  if (!isWhole && (inBlock === "mlp.post" || inBlock === "shared.post")) {
    return below(inBlock.replace("post", "")).flatMap((binding) => ofNeuron(binding, index[0]));
  }
  if (expert !== undefined && inBlock === "router.weights") {
    return below("router.").map((binding) => ({ binding, rows: expert }));
  }
  if (expert !== undefined && isWhole && inBlock === "experts.contribution") {
    return below("experts.").map((binding) => ({ binding, expert }));
  }
  if (expert !== undefined && !isWhole && inBlock === "experts.post") {
    return below("experts.").flatMap((binding) => ofNeuron(binding, index[0]).map((part) => ({ ...part, expert })));
  }
  const head = index.length === 1 ? HEAD_WEIGHTS[inBlock] : undefined;
  if (head !== undefined) {
    return below("attn.").flatMap((binding) => ofHead(binding, head, index[0], inBlock, config));
  }
  const layer = entry.layer ?? 0;
  const isSparse = below("experts.").length > 0;
  const choices = [
    `L${layer}.${isSparse ? "E" : "N"}0`,
    `L${layer}.H0`,
    `L${layer}.mlp`,
    `L${layer}.attn`,
    `L${layer}`,
  ];
  throw new PointError("point.address", {
    path: address.text,
    expected: COMPONENTS,
    got: `${entry.name}, which has no weights of its own`,
    remedy: `Ask for ${choices.join(", ")}, or ${suggest(address.text, [...bindings.weights.keys()])}`,
  });
}

/** Groups of weights by the point that stands for all of them. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  residPost: [""],
  "attn.out": ["attn."],
  "attn.qLatent": ["attn.wQLatent", "attn.bQLatent", "attn.qLatentNorm."],
  "attn.kvLatent": ["attn.wKvLatent", "attn.bKvLatent", "attn.kvLatentNorm."],
  "attn.kRope": ["attn.wKRope", "attn.bKRope"],
  // Of a layer it is either a dense MLP or experts.
  "mlp.out": ["mlp.", "router.", "experts.", "shared."],
  "router.weights": ["router."],
  "shared.contribution": ["shared."],
};

/** A neuron's row of what computes it, and its column of what it adds. */
function ofNeuron(binding: Binding, neuron: number): Selected[] {
  const kind = lastPart(binding.name);
  if (kind === "wDown") return [{ binding, columns: neuron }];
  return ["wGate", "bGate", "wUp", "bUp"].includes(kind) ? [{ binding, rows: neuron }] : [];
}

/** The weights that belong to a head's points, by the last part of their names. */
const HEAD_WEIGHTS: Readonly<Record<string, readonly string[]>> = {
  "attn.z": ["wQ", "bQ", "wK", "bK", "wV", "bV", "sinks", "wO"],
  "attn.q": ["wQ", "bQ"],
  "attn.k": ["wK", "bK"],
  "attn.v": ["wV", "bV"],
  "attn.result": ["wO"],
};

/**
 * A head's rows of the projections to it, its sink, and its columns of the projection behind it. In latent attention those
 * of queries, keys and values are of different sizes.
 */
function ofHead(
  binding: Binding,
  wanted: readonly string[],
  index: number,
  point: string,
  { nHeads, nKvHeads }: ModelConfig,
): Selected[] {
  const kind = lastPart(binding.name);
  if (!wanted.includes(kind)) return [];
  if (kind === "sinks") return [{ binding, rows: index }];
  const isKv = /[KV]$/.test(kind);
  // `attn.k` and `attn.v` count heads of keys and values already.
  const head = isKv && point === "attn.z" ? Math.floor(index / (nHeads / nKvHeads)) : index;
  const axis = kind === "wO" ? "columns" : "rows";
  const size = binding.shape[axis === "rows" ? 0 : 1] / (isKv ? nKvHeads : nHeads);
  return [{ binding, [axis]: [head * size, (head + 1) * size] satisfies Range }];
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}

async function readPart(selected: Selected, checkpoint: Checkpoint): Promise<WeightPart> {
  const { binding, expert, rows, columns } = selected;
  const { name, shape, dtype, transposed, storedRows } = binding;
  const slice = sliceOf(selected);
  return {
    weight: name,
    weightShape: shape,
    expert,
    rows: rangeOf(rows),
    columns: rangeOf(columns),
    values: new Tensor(shapeOf(selected), await decodeSlice(binding, checkpoint, slice)),
    stored: storedSlices(binding, slice).map(({ tensor, ...stored }) => ({
      file: tensor.file,
      tensor: tensor.name,
      format: dtype,
      ...stored,
      transposed,
      isReordered: storedRows !== undefined,
    })),
  };
}

/** The rows of all experts follow one another; of a stack of vectors each is a row. */
function sliceOf({ binding, expert, rows, columns }: Selected): WeightSlice {
  const all = wholeSlice(binding);
  if (expert === undefined) return { rows: rangeOf(rows) ?? all.rows, columns: rangeOf(columns) ?? all.columns };
  if (binding.shape.length === 2) return { rows: [expert, expert + 1], columns: rangeOf(rows) ?? all.columns };
  const [, nRows] = binding.shape;
  const [from, to] = rangeOf(rows) ?? [0, nRows];
  return { rows: [expert * nRows + from, expert * nRows + to], columns: rangeOf(columns) ?? all.columns };
}

function rangeOf(selected: Range | number | undefined): Range | undefined {
  return typeof selected === "number" ? [selected, selected + 1] : selected;
}

/** Sizes of what is selected, without the axes of a single expert, row or column. */
function shapeOf({ binding: { shape }, expert, rows, columns }: Selected): number[] {
  const own = expert === undefined ? shape : shape.slice(1);
  return own.flatMap((size, axis) => {
    const range = [rows, columns][axis];
    if (typeof range === "number") return [];
    return range === undefined ? [size] : [range[1] - range[0]];
  });
}

function checkSize(path: string, selected: readonly Selected[]): void {
  const size = selected.reduce((sum, each) => sum + numel(shapeOf(each)), 0);
  if (4 * size <= MAX_BYTES) return;
  throw new RequestError("request.option", {
    path,
    expected: `weights that are read at once take at most ${formatBytes(MAX_BYTES)}`,
    got: formatBytes(4 * size),
    remedy: "Ask for fewer of them, for one head or neuron, or for one row.",
  });
}
