import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.ts";
import { CheckpointError, suggest } from "../errors.ts";
import type { ComputeFormat } from "../tensor/format.ts";
import { formatShape } from "../tensor/shape.ts";
import { type BoundPiece, bindPieces, type FoundPiece, MISMATCH } from "./pieces.ts";
import { adjacentPairs, type Layout, type WeightSpec } from "./schema.ts";

/** Where one weight lies. Of [..., n] it has rows of n numbers, of [n] and where a file needs it rows of one. */
export interface Binding {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: ComputeFormat;
  /** Whether the rows are columns of the tensors' matrices. */
  readonly transposed: boolean;
  /** What is added to each stored number; 0 for nearly all. */
  readonly offset: number;
  /** Their rows follow one another. */
  readonly pieces: readonly BoundPiece[];
  /** Elements of one row. */
  readonly rowLength: number;
  /** Which row of the pieces each row of the weight is; in their order where undefined. */
  readonly storedRows?: Int32Array;
}

/** Tensors that a checkpoint may hold without the model using them, each with the reason. */
export interface IgnoredTensors {
  readonly pattern: RegExp;
  readonly reason: string;
}

export interface BindOptions {
  /** Part of every Hugging Face tensor's name that some files leave out, such as `model.`. */
  readonly prefix: string;
  readonly ignored: readonly IgnoredTensors[];
  /** Tensors that have been used already, such as those that the config was read from. */
  readonly used?: readonly string[];
}

export interface Bindings {
  readonly weights: ReadonlyMap<string, Binding>;
  readonly ignored: readonly { readonly tensor: string; readonly reason: string }[];
}

/** Whether a checkpoint holds every tensor of a weight, in one of its layouts. */
export function hasWeight(checkpoint: Checkpoint, spec: WeightSpec, prefix: string): boolean {
  return layoutsIn(checkpoint, spec).some((layout) => findPieces(checkpoint, layout, prefix).absent.length === 0);
}

function layoutsIn({ format }: Checkpoint, { huggingFace, gguf }: WeightSpec): readonly Layout[] {
  // What GGUF has no name for is reported under the only names it has.
  return format === "gguf" && gguf.length > 0 ? gguf : huggingFace;
}

interface FoundLayout {
  readonly layout: Layout;
  readonly found: readonly FoundPiece[];
  /** Names of tensors that are there, of scales too. */
  readonly present: readonly string[];
  /** Names of tensors that are not. */
  readonly absent: readonly string[];
}

/** The tensors of a layout: by their Hugging Face names, with or without `prefix`, or by their names in GGUF. */
function findPieces(checkpoint: Checkpoint, layout: Layout, prefix: string): FoundLayout {
  const found: FoundPiece[] = [];
  const [present, absent] = [new Set<string>(), new Set<string>()];
  const find = (name: string): StoredTensor | undefined => {
    const tensor = checkpoint.tensors.get(name) ?? checkpoint.tensors.get(otherName(name, checkpoint, prefix));
    (tensor === undefined ? absent : present).add(name);
    return tensor;
  };
  for (const piece of layout.pieces) {
    const tensor = find(piece.tensor);
    const scales = piece.scales === undefined ? undefined : find(piece.scales);
    if (tensor !== undefined) found.push({ piece, tensor, scales });
  }
  return { layout, found, present: [...present], absent: [...absent] };
}

function otherName(name: string, { format }: Checkpoint, prefix: string): string {
  if (format === "gguf") return name;
  return name.startsWith(prefix) ? name.slice(prefix.length) : `${prefix}${name}`;
}

/**
 * Binds every declared weight to its bytes. A weight that is missing, misshapen or of a type that is not computed
 * with is an error, and so is a tensor that nothing uses and that is not known to be superfluous.
 */
export function bindWeights(
  specs: ReadonlyMap<string, WeightSpec>,
  checkpoint: Checkpoint,
  { prefix, ignored, used: usedBefore = [] }: BindOptions,
): Bindings {
  const weights = new Map<string, Binding>();
  const used = new Set(usedBefore.map((name) => checkpoint.tensors.get(name)));
  for (const [name, spec] of specs) {
    const binding = bindOne(name, spec, checkpoint, prefix);
    weights.set(name, binding);
    for (const { tensor, scales } of binding.pieces) used.add(tensor).add(scales?.tensor);
  }
  checkCoverage(weights.values());
  const surplus = [...checkpoint.tensors.values()].filter((tensor) => !used.has(tensor));
  const reasons = surplus.map((tensor) => ({
    tensor: tensor.name,
    reason: ignored.find(({ pattern }) => pattern.test(tensor.name))?.reason,
  }));
  const unknown = reasons.find(({ reason }) => reason === undefined);
  if (unknown !== undefined) throw unused(unknown.tensor, surplus.length, checkpoint);
  return { weights, ignored: reasons.map(({ tensor, reason = "" }) => ({ tensor, reason })) };
}

function bindOne(name: string, spec: WeightSpec, checkpoint: Checkpoint, prefix: string): Binding {
  const { shape } = spec;
  const layouts = layoutsIn(checkpoint, spec).map((layout) => findPieces(checkpoint, layout, prefix));
  const complete = layouts.find(({ absent }) => absent.length === 0);
  if (complete === undefined) throw missing(name, shape, layouts, checkpoint);
  const { layout, found } = complete;
  const { transposed, offset = 0, pairedHeads } = layout;
  return {
    name,
    shape,
    transposed,
    offset,
    ...bindPieces({ name, shape, layout }, found, checkpoint),
    ...(pairedHeads !== undefined && { storedRows: adjacentPairs(shape[0], pairedHeads) }),
  };
}

/** Every row of the tensors must belong to a weight; of those that are stored transposed every column of each matrix. */
function checkCoverage(bindings: Iterable<Binding>): void {
  const isUsed = new Map<StoredTensor, Uint8Array | "whole">();
  for (const { pieces, transposed, rowLength } of bindings) {
    for (const piece of pieces) {
      const { tensor, nTensorRows, tensorRowLength, matrixRow, from, step, nRows } = piece;
      const n = transposed ? (nTensorRows / rowLength) * tensorRowLength : nTensorRows;
      const marks = nRows === n ? "whole" : (isUsed.get(tensor) ?? new Uint8Array(n));
      isUsed.set(tensor, marks);
      if (marks === "whole") continue;
      const first = (transposed ? (matrixRow / rowLength) * tensorRowLength : 0) + from;
      for (let i = 0; i < nRows; i++) marks[first + i * step] = 1;
    }
  }
  for (const [tensor, marks] of isUsed) {
    const n = marks === "whole" ? 0 : marks.reduce((left, mark) => left - mark, marks.length);
    if (n === 0) continue;
    throw new CheckpointError("checkpoint.shape", {
      path: `${tensor.file}: ${tensor.name}`,
      expected: "every row of a tensor must belong to a weight",
      got: `${formatShape(tensor.shape)}, of which ${n} are left over`,
      remedy: MISMATCH,
    });
  }
}

/** `layouts`: what there is of each; the fullest is what the file was meant to hold. */
function missing(
  name: string,
  shape: readonly number[],
  layouts: readonly FoundLayout[],
  checkpoint: Checkpoint,
): CheckpointError {
  const { absent } = layouts.reduce((best, each) => (each.present.length > best.present.length ? each : best));
  const [tensor] = absent;
  return new CheckpointError("checkpoint.missing", {
    path: `${checkpoint.name}: ${tensor}`,
    expected: `the checkpoint must hold this tensor, it is ${name} ${formatShape(shape)}`,
    got: "no tensor of that name",
    remedy: `${suggest(tensor, [...checkpoint.tensors.keys()])} Is the config that of this checkpoint?`,
  });
}

function unused(tensor: string, nSurplus: number, checkpoint: Checkpoint): CheckpointError {
  return new CheckpointError("checkpoint.unused", {
    path: `${checkpoint.name}: ${tensor}`,
    expected: "every tensor of the checkpoint must be used by the model",
    got: `${nSurplus} that no weight of this architecture refers to`,
    remedy: "Is the config that of this checkpoint? To drop it on purpose, name it in open(..., { ignore: [...] }).",
  });
}
