import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.ts";
import { CheckpointError, suggest } from "../errors.ts";
import { COMPUTE_DTYPES, type ComputeDtype, isComputeDtype } from "../tensor/dtype.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import type { WeightSpec } from "./schema.ts";

/** Where one weight lies: rows [from, to) of a stored tensor (columns where transposed). */
export interface Binding {
  readonly name: string;
  readonly shape: readonly number[];
  readonly tensor: StoredTensor;
  readonly dtype: ComputeDtype;
  readonly transposed: boolean;
  readonly rows: readonly [from: number, to: number];
}

/** Tensors that a checkpoint may hold without the model using them, each with the reason. */
export interface IgnoredTensors {
  readonly pattern: RegExp;
  readonly reason: string;
}

export interface BindOptions {
  /** Part of every tensor's name that some files leave out, such as `model.`. */
  readonly prefix: string;
  readonly ignored: readonly IgnoredTensors[];
}

export interface Bindings {
  readonly weights: ReadonlyMap<string, Binding>;
  readonly ignored: readonly { readonly tensor: string; readonly reason: string }[];
}

/** Finds a tensor by its Hugging Face name, with or without the prefix that some files leave out. */
export function findTensor(checkpoint: Checkpoint, name: string, prefix: string): StoredTensor | undefined {
  const bare = name.startsWith(prefix) ? name.slice(prefix.length) : `${prefix}${name}`;
  return checkpoint.tensors.get(name) ?? checkpoint.tensors.get(bare);
}

/**
 * Binds every declared weight to its bytes. A weight that is missing, misshapen or of a type that is not computed
 * with is an error, and so is a tensor that nothing uses and that is not known to be superfluous.
 */
export function bindWeights(
  specs: ReadonlyMap<string, WeightSpec>,
  checkpoint: Checkpoint,
  { prefix, ignored }: BindOptions,
): Bindings {
  const weights = new Map<string, Binding>();
  const used = new Set<StoredTensor>();
  for (const [name, spec] of specs) {
    const tensor = findTensor(checkpoint, spec.part.tensor, prefix);
    if (tensor === undefined) throw missing(name, spec, checkpoint);
    used.add(tensor);
    weights.set(name, bindOne(name, spec, tensor));
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

function bindOne(name: string, { shape, part }: WeightSpec, tensor: StoredTensor): Binding {
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
      remedy: "config.json and the weights do not belong together, or one of them is damaged.",
    });
  }
  if (!isComputeDtype(tensor.dtype)) {
    throw new CheckpointError("checkpoint.dtype", {
      path,
      expected: `weights must be ${COMPUTE_DTYPES.join(", ")}`,
      got: tensor.dtype,
      remedy: "Convert the checkpoint to one of these types.",
    });
  }
  return { name, shape, tensor, dtype: tensor.dtype, transposed: part.transposed, rows: [from, to] };
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
      remedy: "config.json and the weights do not belong together, or one of them is damaged.",
    });
  }
}

function missing(name: string, spec: WeightSpec, checkpoint: Checkpoint): CheckpointError {
  return new CheckpointError("checkpoint.missing", {
    path: `${checkpoint.name}: ${spec.part.tensor}`,
    expected: `the checkpoint must hold this tensor, it is ${name} ${formatShape(spec.shape)}`,
    got: "no tensor of that name",
    remedy: `${suggest(spec.part.tensor, [...checkpoint.tensors.keys()])} Is config.json that of this checkpoint?`,
  });
}

function unused(tensor: string, nSurplus: number, checkpoint: Checkpoint): CheckpointError {
  return new CheckpointError("checkpoint.unused", {
    path: `${checkpoint.name}: ${tensor}`,
    expected: "every tensor of the checkpoint must be used by the model",
    got: `${nSurplus} that no weight of this architecture refers to`,
    remedy: "Is config.json that of this checkpoint? To drop it on purpose, name it in open(..., { ignore: [...] }).",
  });
}
