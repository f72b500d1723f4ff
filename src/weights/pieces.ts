/** Where the rows of one weight lie: the pieces of a layout, found in a checkpoint and checked against it. */

import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.ts";
import { CheckpointError, TapeError } from "../errors.ts";
import { COMPUTE_DTYPES } from "../tensor/dtype.ts";
import { type ComputeFormat, isBlockFormat, isPlainFormat, PLAIN_FORMATS } from "../tensor/format.ts";
import { FP8_BLOCK } from "../tensor/formats/fp8-e4m3.ts";
import { MXFP4_BLOCK } from "../tensor/formats/mxfp4.ts";
import { formatShape, numel, sameShape } from "../tensor/shape.ts";
import { countRows, type Layout, type Piece, pieceRows } from "./schema.ts";

/** Consecutive rows of a weight, which lie `step` rows apart in one tensor: that is seen as rows of its last axis. */
export interface BoundPiece {
  readonly tensor: StoredTensor;
  /** Rows of the whole tensor; where the weight's rows are single numbers, all its elements. */
  readonly nTensorRows: number;
  /** Elements of one of them. */
  readonly tensorRowLength: number;
  /** Row of the weight that the piece begins with. */
  readonly firstRow: number;
  readonly nRows: number;
  /** Row of the tensor that holds the first one; a column of the piece's matrix where the weight is stored transposed. */
  readonly from: number;
  readonly step: number;
  /** Row of the tensor with which the piece's matrix begins; 0 where that does not matter. */
  readonly matrixRow: number;
  readonly scales?: Scales;
}

/** The scales of the rows of a piece's matrix. */
export interface Scales {
  readonly tensor: StoredTensor;
  /** Rows of `tensor`, seen as rows of its last axis. */
  readonly nTensorRows: number;
  /** The one with which the matrix's scales begin. */
  readonly firstRow: number;
  /** Rows of the matrix that share a row of scales. */
  readonly rowsPerScale: number;
}

/** A piece of a layout with the tensors that it names. */
export interface FoundPiece {
  readonly piece: Piece;
  readonly tensor: StoredTensor;
  readonly scales: StoredTensor | undefined;
}

export const MISMATCH = "The config and the weights do not belong together, or one of them is damaged.";

/** What a weight is bound to, for errors. */
interface Target {
  readonly name: string;
  readonly shape: readonly number[];
  readonly layout: Layout;
}

/** A tensor, or one of its matrices, with the axes as the weight has them. */
interface View extends FoundPiece {
  /** Of the numbers in the whole tensor. */
  readonly whole: readonly number[];
  /** Of what is meant, turned round where it is stored transposed: [rows, elements], [rows], or all of three axes. */
  readonly shape: readonly number[];
  readonly matrix: number;
  readonly transposed: boolean;
}

/** The pieces of a weight, neighbours as one, and the format that all of them have. */
export function bindPieces(
  target: Target,
  found: readonly FoundPiece[],
  checkpoint: Checkpoint,
): { readonly pieces: readonly BoundPiece[]; readonly dtype: ComputeFormat; readonly rowLength: number } {
  const { name, shape, layout } = target;
  const views = found.map((each) => viewOf(each, target));
  const [first] = views;
  const rowLength = first.shape.length > 1 ? (first.shape.at(-1) as number) : 1;
  const dtype = formatOf(first);
  const nWanted = numel(shape) / rowLength;
  const nRows = pieceRows(layout, nWanted);
  const pieces: BoundPiece[] = [];
  for (const [i, view] of views.entries()) {
    checkShape(target, view, nRows[i]);
    checkFormat(name, view, first);
    for (const each of matricesOf(view, dtype)) {
      const last = pieces.at(-1);
      const next = boundOf(each, dtype, last === undefined ? 0 : last.firstRow + last.nRows, checkpoint);
      if (last === undefined || !goesOn(last, next)) pieces.push(next);
      else pieces[pieces.length - 1] = { ...last, nRows: last.nRows + next.nRows };
    }
  }
  const nFound = pieces.reduce((sum, piece) => sum + piece.nRows, 0);
  const isInOrder = layout.pairedHeads === undefined || pieces.length === 1;
  if (nFound === nWanted && isInOrder) return { pieces, dtype, rowLength };
  throw new TapeError("tape.shape", {
    path: name,
    expected: `a layout's pieces must have the ${nWanted} rows of ${formatShape(shape)}, in one piece where heads are paired`,
    got: `${nFound} in ${pieces.length}`,
    remedy: "Mend the architecture's weights.",
  });
}

function viewOf(found: FoundPiece, { shape: declared, layout: { transposed } }: Target): View {
  const { piece, tensor, scales } = found;
  // GGUF files hold a matrix of one row, the gate of a shared expert, as a vector.
  const isOneRow = declared.length === 2 && declared[0] === 1 && tensor.shape.length === 1;
  const stored = isOneRow ? [1, ...tensor.shape] : tensor.shape;
  const whole = scales === undefined ? stored : unblocked(tensor, scales);
  const shape = piece.matrix === undefined ? whole : whole.slice(1);
  const turned = transposed ? [...shape.slice(0, -2), ...shape.slice(-2).toReversed()] : shape;
  return { ...found, whole, shape: turned, matrix: piece.matrix ?? 0, transposed };
}

/** The shape of what blocks of MXFP4 and their scales hold. */
function unblocked(blocks: StoredTensor, scales: StoredTensor): number[] {
  const lead = blocks.shape.slice(0, -1);
  const fits = blocks.shape.length > 2 && blocks.shape.at(-1) === MXFP4_BLOCK / 2 && sameShape(scales.shape, lead);
  if (fits && blocks.dtype === "u8" && scales.dtype === "u8") {
    return [...lead.slice(0, -1), MXFP4_BLOCK * (lead.at(-1) as number)];
  }
  throw new CheckpointError("checkpoint.shape", {
    path: `${blocks.file}: ${blocks.name}`,
    expected: `blocks of MXFP4 are u8 [..., ${MXFP4_BLOCK / 2}], with one u8 for each of them in ${scales.name}`,
    got: `${blocks.dtype} ${formatShape(blocks.shape)} and ${scales.dtype} ${formatShape(scales.shape)}`,
    remedy: MISMATCH,
  });
}

/** The view, or each of its matrices where a piece must lie in one of them. */
function matricesOf(view: View, dtype: ComputeFormat): View[] {
  if (view.shape.length < 3 || !(view.transposed || dtype === "f8_e4m3")) return [view];
  const shape = view.shape.slice(1);
  return Array.from({ length: view.shape[0] }, (_, matrix) => ({ ...view, shape, matrix }));
}

function boundOf(view: View, dtype: ComputeFormat, firstRow: number, checkpoint: Checkpoint): BoundPiece {
  const { tensor, shape, matrix, transposed, piece } = view;
  const { rows, step = 1 } = piece;
  const nMatrixRows = shape.length > 1 ? numel(shape.slice(0, -1)) : shape[0];
  const tensorRowLength = transposed ? shape[0] : numel(shape) / nMatrixRows;
  const scales = scalesOf(view, dtype, checkpoint);
  const matrixRow = transposed ? matrix * shape[1] : matrix * nMatrixRows;
  return {
    tensor,
    nTensorRows: numel(view.whole) / tensorRowLength,
    tensorRowLength,
    firstRow,
    nRows: rows === undefined ? nMatrixRows : countRows(rows, step),
    from: (transposed ? 0 : matrixRow) + (rows?.[0] ?? 0),
    step,
    // Otherwise the matrices of a tensor go on from one another.
    matrixRow: transposed || dtype === "f8_e4m3" ? matrixRow : 0,
    ...(scales !== undefined && { scales }),
  };
}

/** Whether the rows of `next` lie behind those of `last` as these lie behind one another. */
function goesOn(last: BoundPiece, next: BoundPiece): boolean {
  const isNeighbour = next.from === last.from + last.nRows * last.step;
  return isNeighbour && next.tensor === last.tensor && next.step === last.step && next.matrixRow === last.matrixRow;
}

function scalesOf(view: View, dtype: ComputeFormat, checkpoint: Checkpoint): Scales | undefined {
  const { scales } = view;
  if (scales !== undefined) {
    return { tensor: scales, nTensorRows: numel(scales.shape.slice(0, -1)), firstRow: 0, rowsPerScale: 1 };
  }
  return dtype === "f8_e4m3" ? fp8Scales(view, checkpoint) : undefined;
}

/** The scales that DeepSeek-V3 and all after it store beside `{name}`: `{name}_scale_inv`, one for each block. */
function fp8Scales({ tensor, whole, matrix }: View, checkpoint: Checkpoint): Scales {
  const name = `${tensor.name}_scale_inv`;
  const found = checkpoint.tensors.get(name);
  const shape = [...whole.slice(0, -2), ...whole.slice(-2).map((size) => Math.ceil(size / FP8_BLOCK))];
  if (found?.dtype === "f32" && sameShape(found.shape, shape)) {
    const nRows = shape.at(-2) as number;
    const nTensorRows = numel(shape.slice(0, -1));
    return { tensor: found, nTensorRows, firstRow: matrix * nRows, rowsPerScale: FP8_BLOCK };
  }
  throw new CheckpointError(found === undefined ? "checkpoint.missing" : "checkpoint.shape", {
    path: `${tensor.file}: ${tensor.name}`,
    expected: `f8_e4m3 needs f32 ${formatShape(shape)} in ${name}, a scale for each ${FP8_BLOCK} rows and columns`,
    got: found === undefined ? "no tensor of that name" : `${found.dtype} ${formatShape(found.shape)}`,
    remedy: "Other fp8 checkpoints are not supported: take the model in bf16.",
  });
}

function formatOf({ tensor: { file, name, dtype }, scales, shape }: View): ComputeFormat {
  if (scales !== undefined) return "mxfp4_split";
  const isMatrix = shape.length > 1;
  if (dtype === "f8_e4m3" && isMatrix) return dtype;
  const isQuantised = isBlockFormat(dtype);
  // Rows of a vector are single elements, which blocks do not have.
  if (isPlainFormat(dtype) && (isMatrix || !isQuantised)) return dtype;
  const taken = isQuantised && isMatrix ? PLAIN_FORMATS : COMPUTE_DTYPES;
  throw new CheckpointError("checkpoint.dtype", {
    path: `${file}: ${name}`,
    expected: `${isMatrix ? "weights" : "vectors"} must be ${taken.join(", ")}`,
    got: dtype,
    remedy:
      isQuantised && !isPlainFormat(dtype)
        ? `${dtype.toUpperCase()} is not supported yet: take the model in another format, such as Q4_K_M or Q8_0.`
        : "Convert the checkpoint to one of these types.",
  });
}

function checkFormat(name: string, view: View, first: View): void {
  const [own, wanted] = [formatOf(view), formatOf(first)];
  if (own === wanted) return;
  throw new CheckpointError("checkpoint.dtype", {
    path: `${view.tensor.file}: ${view.tensor.name}`,
    expected: `all tensors that make up ${name} must be of one type, which is ${wanted} in ${first.tensor.name}`,
    got: own,
    remedy: "Convert the checkpoint anew, with one type for all experts of a layer.",
  });
}

/** `nRows`: of a piece that is all of a tensor or matrix. */
function checkShape({ name, shape, layout }: Target, view: View, nRows: number): void {
  const { piece, tensor } = view;
  const { matrix, rows } = piece;
  const isOnly = layout.pieces.length === 1 && matrix === undefined;
  const tail = shape.slice(shape.length - Math.max(0, view.shape.length - 1));
  const fits =
    isOnly && rows === undefined
      ? sameShape(view.shape, shape)
      : view.shape.length <= 2 &&
        [shape.length - 1, shape.length].includes(view.shape.length) &&
        sameShape(view.shape.slice(1), tail) &&
        (rows === undefined ? view.shape[0] === nRows : rows[1] <= view.shape[0]) &&
        (matrix ?? 0) < tensor.shape[0];
  if (fits) return;
  const needed = isOnly ? shape : [rows?.[1] ?? nRows, ...(shape.length > 1 ? shape.slice(-1) : [])];
  const turned = layout.transposed ? "the transpose of " : "";
  const part = `${matrix === undefined ? "" : ` as matrix ${matrix}`}`;
  const range = rows === undefined ? "" : `, of which rows ${rows[0]} to ${rows[1]}`;
  throw new CheckpointError("checkpoint.shape", {
    path: `${tensor.file}: ${tensor.name}`,
    expected: `${name}${isOnly ? "" : ` ${formatShape(shape)}`} needs ${turned}${formatShape(needed)}${part}${range}`,
    got: formatShape(tensor.shape),
    remedy: MISMATCH,
  });
}
