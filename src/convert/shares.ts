/** Which rows of which weights make up a tensor of the target. */

import { ConfigError } from "../errors.ts";
import { formatShape, numel } from "../tensor/shape.ts";
import type { Binding } from "../weights/bind.ts";
import { type Layout, nGivenRows, type Piece, pieceRows } from "../weights/schema.ts";

/** Rows of a weight in a tensor of the target, which is seen as rows of its last axis. */
export interface Share {
  readonly from: Binding;
  readonly to: Layout;
  /** Of the weight, in rows of `rowLength` elements. */
  readonly firstRow: number;
  readonly nRows: number;
  readonly rowLength: number;
  /** Row of the tensor that is the first one; where the tensor is transposed the column of its matrix. */
  readonly at: number;
  /** From one to the next. */
  readonly step: number;
  /** Which of the matrices, where the tensor is transposed. */
  readonly matrix: number;
}

/** A tensor of the target and the shares that weights have in it, in the order in which they begin. */
export interface SharedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly transposed: boolean;
  readonly shares: readonly Share[];
}

/** What a piece of a layout takes of a weight. */
interface Placed {
  readonly from: Binding;
  readonly to: Layout;
  readonly piece: Piece;
  /** The axes behind the rows of the piece's tensor. */
  readonly inner: readonly number[];
  readonly firstRow: number;
  readonly nRows: number;
}

/** The tensors that these weights make, in the order in which they are named first. */
export function sharedTensors(weights: Iterable<{ readonly from: Binding; readonly to: Layout }>): SharedTensor[] {
  const byTensor = new Map<string, Placed[]>();
  for (const { from, to } of weights) {
    for (const placed of placesOf(from, to)) {
      const { tensor } = placed.piece;
      const known = byTensor.get(tensor);
      if (known === undefined) byTensor.set(tensor, [placed]);
      else known.push(placed);
    }
  }
  return Array.from(byTensor, ([name, placed]) => assembled(name, placed));
}

function* placesOf(from: Binding, to: Layout): Generator<Placed> {
  const inner = innerAxes(from.shape, to);
  const nRows = pieceRows(to, numel(from.shape) / numel(inner));
  let firstRow = 0;
  for (const [i, piece] of to.pieces.entries()) {
    yield { from, to, piece, inner, firstRow, nRows: nRows[i] };
    firstRow += nRows[i];
  }
}

/** Behind the rows of a layout's tensors: none where each is a vector, of one weight or of one expert. */
function innerAxes(shape: readonly number[], to: Layout): readonly number[] {
  const inner = shape.slice(1).slice(-1);
  if (shape.length !== 2 || isWhole(to)) return inner;
  const n = nGivenRows(to);
  const areVectors = n === 0 ? to.pieces.length === shape[0] : n === numel(shape);
  return areVectors ? [] : inner;
}

function isWhole({ pieces }: Layout): boolean {
  return pieces.length === 1 && pieces[0].matrix === undefined && pieces[0].rows === undefined;
}

function assembled(name: string, placed: readonly Placed[]): SharedTensor {
  const [{ from, to, inner }] = placed;
  const shape = isWhole(to) ? from.shape : tensorShape(placed);
  const nMatrixRows = (isWhole(to) && shape.length === 1 ? shape[0] : shape.at(-1 - inner.length)) ?? 0;
  const shares = placed.flatMap((each) => sharesOf(each, nMatrixRows)).toSorted((a, b) => a.at - b.at);
  const nRows = shares.reduce((sum, share) => sum + share.nRows, 0);
  if (nRows * numel(inner) !== numel(shape)) {
    throw new ConfigError("config.unsupported", {
      path: `convert: ${name}`,
      expected: `the weights must have all ${numel(shape) / numel(inner)} rows of ${formatShape(shape)}`,
      got: `${nRows}`,
    });
  }
  const turned = [...shape.slice(0, -2), ...shape.slice(-2).toReversed()];
  return { name, shape: to.transposed ? turned : shape, transposed: to.transposed, shares };
}

/** As the weights have their axes. */
function tensorShape(placed: readonly Placed[]): number[] {
  const nMatrices = 1 + Math.max(...placed.map(({ piece }) => piece.matrix ?? 0));
  const lead = placed[0].piece.matrix === undefined ? [] : [nMatrices];
  return [...lead, Math.max(...placed.map(({ piece, nRows }) => piece.rows?.[1] ?? nRows)), ...placed[0].inner];
}

/** The matrices of a tensor follow one another, except where it is transposed. */
function sharesOf({ from, to, piece, inner, firstRow, nRows }: Placed, nMatrixRows: number): Share[] {
  const { matrix = 0, rows, step = 1 } = piece;
  const share = { from, to, rowLength: numel(inner), step };
  const first = rows?.[0] ?? 0;
  if (!to.transposed) return [{ ...share, firstRow, nRows, at: matrix * nMatrixRows + first, matrix: 0 }];
  if (rows !== undefined) return [{ ...share, firstRow, nRows, at: first, matrix }];
  return Array.from({ length: nRows / nMatrixRows }, (_, i) => {
    return { ...share, firstRow: firstRow + i * nMatrixRows, nRows: nMatrixRows, at: 0, matrix: matrix + i };
  });
}
