import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.ts";
import { CheckpointError, suggest } from "../errors.ts";
import { COMPUTE_DTYPES } from "../tensor/dtype.ts";
import { COMPUTE_FORMATS, type ComputeFormat, type Format, isBlockFormat, isComputeFormat } from "../tensor/format.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { adjacentPairs, type Part, type WeightSpec } from "./schema.ts";

/**
 * Where one weight lies: rows [from, to) of a stored tensor (columns where transposed). Where it is not transposed, its
 * row i begins at byte `tensor.offset + (from + storedRows[i]) * rowSizeBytes` of `tensor.file`.
 */
export interface Binding {
  readonly name: string;
  readonly shape: readonly number[];
  readonly tensor: StoredTensor;
  readonly dtype: ComputeFormat;
  readonly transposed: boolean;
  readonly rows: readonly [from: number, to: number];
  /** Bytes of one stored row. */
  readonly rowSizeBytes: number;
  /** For each row of the weight which of the rows [from, to) it is, counted from `from`; undefined: in their order. */
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

/** The tensor that holds a weight: by its Hugging Face name, with or without `prefix`, or by its name in GGUF. */
export function findTensor(checkpoint: Checkpoint, spec: WeightSpec, prefix: string): StoredTensor | undefined {
  const { tensor: name } = partIn(checkpoint, spec);
  if (checkpoint.format === "gguf") return checkpoint.tensors.get(name);
  const other = name.startsWith(prefix) ? name.slice(prefix.length) : `${prefix}${name}`;
  return checkpoint.tensors.get(name) ?? checkpoint.tensors.get(other);
}

function partIn({ format }: Checkpoint, { part, gguf }: WeightSpec): Part {
  // What GGUF has no name for is reported under the only name it has.
  return format === "gguf" ? (gguf ?? part) : part;
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
    const tensor = findTensor(checkpoint, spec, prefix);
    const part = partIn(checkpoint, spec);
    if (tensor === undefined) throw missing(name, spec.shape, part, checkpoint);
    used.add(tensor);
    weights.set(name, bindOne(name, spec.shape, part, tensor));
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

const MISMATCH = "The config and the weights do not belong together, or one of them is damaged.";

function bindOne(name: string, shape: readonly number[], part: Part, tensor: StoredTensor): Binding {
  const path = `${tensor.file}: ${tensor.name}`;
  const nRows = shape[0];
  const found = part.transposed ? tensor.shape.toReversed() : tensor.shape;
  const [from, to] = part.rows ?? [0, nRows];
  const fits = sameShape(found.slice(1), shape.slice(1)) && found.length === shape.length && to <= (found[0] ?? 0);
  if (!fits || (part.rows === undefined && found[0] !== nRows)) {
    const rows = part.rows === undefined ? "" : `, of which rows ${from} to ${to}`;
    throw new CheckpointError("checkpoint.shape", {
      path,
      expected: `${name} needs ${part.transposed ? "the transpose of " : ""}${formatShape(shape)}${rows}`,
      got: formatShape(tensor.shape),
      remedy: MISMATCH,
    });
  }
  return {
    name,
    shape,
    tensor,
    dtype: computeFormat(path, tensor),
    transposed: part.transposed,
    rows: [from, to],
    rowSizeBytes: tensor.sizeBytes / (tensor.shape[0] ?? 1),
    storedRows: part.pairedHeads === undefined ? undefined : adjacentPairs(nRows, part.pairedHeads),
  };
}

function computeFormat(path: string, { dtype, shape }: StoredTensor): ComputeFormat {
  const isQuantised = isBlockFormat(dtype);
  // Rows of a vector are single elements, which blocks do not have.
  const taken = isQuantised && shape.length > 1 ? COMPUTE_FORMATS : COMPUTE_DTYPES;
  if (isComputeFormat(dtype) && (taken as readonly Format[]).includes(dtype)) return dtype;
  throw new CheckpointError("checkpoint.dtype", {
    path,
    expected: `${shape.length > 1 ? "weights" : "vectors"} must be ${taken.join(", ")}`,
    got: dtype,
    remedy:
      isQuantised && !isComputeFormat(dtype)
        ? `${dtype.toUpperCase()} is not supported yet: take the model in another format, such as Q4_K_M or Q8_0.`
        : "Convert the checkpoint to one of these types.",
  });
}

/** A tensor that several weights share must not be longer than all of them together. */
function checkCoverage(bindings: Iterable<Binding>): void {
  const nLeft = new Map<StoredTensor, number>();
  for (const { tensor, transposed, rows } of bindings) {
    const nRows = (transposed ? tensor.shape.at(-1) : tensor.shape[0]) ?? 0;
    nLeft.set(tensor, (nLeft.get(tensor) ?? nRows) - (rows[1] - rows[0]));
  }
  for (const [tensor, n] of nLeft) {
    if (n <= 0) continue;
    throw new CheckpointError("checkpoint.shape", {
      path: `${tensor.file}: ${tensor.name}`,
      expected: "every row of a tensor must belong to a weight",
      got: `${formatShape(tensor.shape)}, of which ${n} are left over`,
      remedy: MISMATCH,
    });
  }
}

function missing(name: string, shape: readonly number[], { tensor }: Part, checkpoint: Checkpoint): CheckpointError {
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
