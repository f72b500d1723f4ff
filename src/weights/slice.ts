import type { StoredTensor } from "../checkpoint/checkpoint.ts";
import type { Binding } from "./bind.ts";
import type { BoundPiece } from "./pieces.ts";

/** A half-open range. */
export type Range = readonly [from: number, to: number];

/** Rows of a weight, as it is declared, and a range of each of them. Those of experts follow one another. */
export interface WeightSlice {
  readonly rows: Range;
  readonly columns: Range;
}

/** What of one stored tensor, seen as rows of its last axis, a slice is spread over. */
export interface StoredSlice {
  readonly tensor: StoredTensor;
  readonly rows: Range;
  readonly columns: Range;
}

/** Elements of one row as the weight is declared: a vector's rows are single numbers. */
export function rowLength({ shape }: Pick<Binding, "shape">): number {
  return shape.length > 1 ? (shape.at(-1) as number) : 1;
}

/** All of a weight. */
export function wholeSlice(binding: Pick<Binding, "shape">): WeightSlice {
  const length = rowLength(binding);
  return { rows: [0, binding.shape.reduce((product, size) => product * size, 1) / length], columns: [0, length] };
}

/** The stored rows and columns that a slice is spread over, tensor by tensor. */
export function storedSlices(binding: Binding, slice: WeightSlice): StoredSlice[] {
  const found: StoredSlice[] = [];
  for (const { rows, columns } of boundSlices(binding, slice)) {
    for (const part of partsOf(binding, numbersIn(rows))) {
      const next = storedSlice(binding, part, columns);
      const last = found.at(-1);
      if (last?.tensor !== next.tensor) found.push(next);
      else
        found[found.length - 1] = {
          ...last,
          rows: around(last.rows, next.rows),
          columns: around(last.columns, next.columns),
        };
    }
  }
  return found;
}

function storedSlice({ transposed }: Binding, part: PiecePart, columns: Range): StoredSlice {
  const { piece, places } = part;
  const stored: Range = [
    places.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
    places.reduce((a, b) => Math.max(a, b), 0) + 1,
  ];
  if (!transposed) return { tensor: piece.tensor, rows: stored, columns };
  const rows: Range = [piece.matrixRow + columns[0], piece.matrixRow + columns[1]];
  return { tensor: piece.tensor, rows, columns: stored };
}

function around(a: Range, b: Range): Range {
  return [Math.min(a[0], b[0]), Math.max(a[1], b[1])];
}

/** The same numbers in the rows of the binding, which are single numbers where a file needs that. */
export function boundSlices(binding: Binding, slice: WeightSlice): WeightSlice[] {
  const length = rowLength(binding);
  if (binding.rowLength === length) return [slice];
  const [from, to] = slice.columns;
  return Array.from({ length: slice.rows[1] - slice.rows[0] }, (_, i) => {
    const first = (slice.rows[0] + i) * length;
    return { rows: [first + from, first + to], columns: [0, 1] };
  });
}

/** Rows of a binding that lie in one of its pieces. */
export interface PiecePart {
  readonly piece: BoundPiece;
  /** For each of them its row in the tensor; its column where the weight is stored transposed. */
  readonly places: Int32Array;
}

/** Where rows of a binding lie: those that follow one another in the list and lie in one piece together. */
export function partsOf({ pieces, storedRows }: Binding, rows: Int32Array): PiecePart[] {
  const parts: PiecePart[] = [];
  for (let from = 0; from < rows.length; ) {
    // Only rows of a single piece are in another order.
    const piece = pieceOf(pieces, rows[from]);
    const [first, end] = [piece.firstRow, piece.firstRow + piece.nRows];
    let to = from + 1;
    while (to < rows.length && rows[to] >= first && rows[to] < end) to++;
    const places = rows.slice(from, to).map((row) => piece.from + ((storedRows?.[row] ?? row) - first) * piece.step);
    parts.push({ piece, places });
    from = to;
  }
  return parts;
}

/** The piece that holds a row: the last of those that do not begin behind it. */
function pieceOf(pieces: readonly BoundPiece[], row: number): BoundPiece {
  let [from, to] = [0, pieces.length];
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    if (pieces[middle].firstRow <= row) from = middle;
    else to = middle;
  }
  return pieces[from];
}

/** The numbers of a range. */
export function numbersIn([from, to]: Range): Int32Array {
  return Int32Array.from({ length: to - from }, (_, i) => from + i);
}
