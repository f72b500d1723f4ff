import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { isBlockFormat, tensorSizeBytes } from "../tensor/format.ts";
import { joinMXFP4 } from "../tensor/formats/mxfp4.ts";
import type { Binding } from "../weights/bind.ts";
import { decodeWeight } from "../weights/decode.ts";
import type { BoundPiece } from "../weights/pieces.ts";
import { numbersIn, partsOf, type Range } from "../weights/slice.ts";
import { decodeStoredRows, readStoredRows, readStoredScales, type StoredRange } from "../weights/stored-rows.ts";

/** Elements of a weight: numbers, or the bits of stored elements (for block formats single bytes). */
export type Cells =
  | Float32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** Cells of one read. */
const PIECE_CELLS = 2 ** 18;

/** Cells that are gathered in one pass over a tensor of the other orientation. */
const BLOCK_CELLS = 2 ** 24;

interface ReadOptions {
  /** Gives the bits of the elements, which keep what decoding and encoding might not (a NaN's payload). */
  readonly isKept: boolean;
  /** What the target has taken off each number. */
  readonly subtracted: number;
}

/** Rows of a weight. */
export interface WeightRows {
  /** Cells of one row. */
  readonly nColumns: number;
  /** Rows to ask for at once. */
  readonly rowsAtOnce: number;
  /** Room for so many cells. */
  cells(length: number): Cells;
  /** These rows of the weight. [rows.length, nColumns] */
  rows(rows: Int32Array): Promise<Cells>;
}

/** Rows that are to lie as columns: the first at `at`, and so on `step` further each. */
export interface ColumnPlaces {
  readonly firstRow: number;
  readonly nRows: number;
  readonly at: number;
  readonly step: number;
}

/**
 * Rows or columns of a weight in any order, read piece by piece: no more is in memory than what is asked for and one
 * piece of the file. Against the file's orientation each call reads the whole tensor once.
 */
export class WeightReader implements WeightRows {
  readonly #binding: Binding;
  readonly #checkpoint: Checkpoint;
  readonly #isKept: boolean;
  readonly #subtracted: number;
  readonly nColumns: number;

  constructor(binding: Binding, checkpoint: Checkpoint, { isKept, subtracted }: ReadOptions) {
    this.#binding = binding;
    this.#checkpoint = checkpoint;
    this.#isKept = isKept;
    this.#subtracted = subtracted;
    const { rowLength } = binding;
    this.nColumns = this.#isBytes ? (tensorSizeBytes([rowLength], keptFormat(binding)) as number) : rowLength;
  }

  get rowsAtOnce(): number {
    return atOnce(this.nColumns, this.#binding.transposed ? BLOCK_CELLS : PIECE_CELLS);
  }

  /** Columns of so many rows to ask for at once. */
  columnsAtOnce(nRows: number): number {
    return atOnce(nRows, this.#binding.transposed ? PIECE_CELLS : BLOCK_CELLS);
  }

  cells(length: number): Cells {
    if (!this.#isKept) return new Float32Array(length);
    if (this.#isBytes) return new Uint8Array(length);
    return this.#binding.dtype === "f32" ? new Uint32Array(length) : new Uint16Array(length);
  }

  async rows(rows: Int32Array): Promise<Cells> {
    const parts = partsOf(this.#binding, rows);
    const read = this.#binding.transposed ? this.#rowsOfTransposed : this.#rowsInOrder;
    if (parts.length === 1) return read.call(this, parts[0].piece, parts[0].places);
    const out = this.cells(rows.length * this.nColumns);
    let at = 0;
    for (const { piece, places } of parts) {
      out.set(await read.call(this, piece, places), at);
      at += places.length * this.nColumns;
    }
    return out;
  }

  /** Lays columns `from` to `to - 1` of some rows as rows into `out`, each `stride` cells after the one before. */
  async columns([from, to]: Range, { firstRow, nRows, at, step }: ColumnPlaces, out: Cells, stride: number) {
    let first = at;
    for (const { piece, places } of partsOf(this.#binding, numbersIn([firstRow, firstRow + nRows]))) {
      const lay = this.#binding.transposed ? this.#columnsInOrder : this.#columnsOfRows;
      await lay.call(this, piece, places, [from, to], (column, i) => (column - from) * stride + first + i * step, out);
      first += places.length * step;
    }
  }

  async #columnsInOrder(piece: BoundPiece, places: Int32Array, [from, to]: Range, at: CellAt, out: Cells) {
    const cells = await this.#read(piece, { from: piece.matrixRow + from, n: to - from });
    for (let column = from; column < to; column++) {
      const begin = (column - from) * piece.tensorRowLength;
      for (const [i, place] of places.entries()) out[at(column, i)] = cells[begin + place];
    }
  }

  async #columnsOfRows(piece: BoundPiece, places: Int32Array, [from, to]: Range, at: CellAt, out: Cells) {
    const { nColumns } = this;
    for (const chunk of runs(places.length, atOnce(nColumns, PIECE_CELLS))) {
      const cells = await this.#rowsInOrder(
        piece,
        chunk.map((i) => places[i]),
      );
      for (const [k, i] of chunk.entries()) {
        for (let column = from; column < to; column++) out[at(column, i)] = cells[k * nColumns + column];
      }
    }
  }

  /** Of a weight whose rows are the tensor's rows. */
  async #rowsInOrder(piece: BoundPiece, places: Int32Array): Promise<Cells> {
    const first = places.reduce((a, b) => Math.min(a, b));
    const last = places.reduce((a, b) => Math.max(a, b));
    const cells = await this.#read(piece, { from: first, n: last + 1 - first });
    if (places.every((place, i) => place === first + i)) return cells;
    const out = this.cells(places.length * this.nColumns);
    for (const [i, place] of places.entries()) {
      const from = (place - first) * this.nColumns;
      out.set(cells.subarray(from, from + this.nColumns), i * this.nColumns);
    }
    return out;
  }

  /** Of a weight whose rows are columns of the tensor's matrix. */
  async #rowsOfTransposed(piece: BoundPiece, places: Int32Array): Promise<Cells> {
    const { tensorRowLength, matrixRow } = piece;
    const nIn = this.#binding.rowLength;
    const out = this.cells(places.length * nIn);
    for (const inputs of runs(nIn, atOnce(tensorRowLength, PIECE_CELLS))) {
      const cells = await this.#read(piece, { from: matrixRow + inputs[0], n: inputs.length });
      for (const [i, place] of places.entries()) {
        for (const [k, input] of inputs.entries()) out[i * nIn + input] = cells[k * tensorRowLength + place];
      }
    }
    return out;
  }

  /** Rows of the tensor as the file has them. */
  async #read(piece: BoundPiece, range: StoredRange): Promise<Cells> {
    const { dtype, offset } = this.#binding;
    if (!this.#isKept) {
      const numbers = new Float32Array(range.n * piece.tensorRowLength);
      await decodeStoredRows(dtype, piece, this.#checkpoint, range, numbers, 0);
      return moved(numbers, offset, this.#subtracted);
    }
    const bytes = await readStoredRows(piece, this.#checkpoint, range);
    if (dtype === "mxfp4_split") return joinMXFP4(bytes, await readStoredScales(piece, this.#checkpoint, range));
    if (this.#isBytes) return bytes;
    const { buffer } = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
    return dtype === "f32" ? new Uint32Array(buffer) : new Uint16Array(buffer);
  }

  get #isBytes(): boolean {
    return this.#isKept && isBlockFormat(keptFormat(this.#binding));
  }
}

/** Cell of column `column` of the i-th row. */
type CellAt = (column: number, i: number) => number;

/** Rows of a stack of vectors that the source has in other rows than the target; all of them lie in memory. */
export class VectorRows implements WeightRows {
  readonly #numbers: Float32Array<ArrayBuffer>;
  readonly nColumns: number;

  private constructor(numbers: Float32Array<ArrayBuffer>, rowLength: number) {
    this.#numbers = numbers;
    this.nColumns = rowLength;
  }

  static async read(binding: Binding, checkpoint: Checkpoint, rowLength: number, { subtracted }: ReadOptions) {
    const numbers = (await decodeWeight(binding, checkpoint, "f32")) as Float32Array<ArrayBuffer>;
    return new VectorRows(moved(numbers, 0, subtracted), rowLength);
  }

  get rowsAtOnce(): number {
    return atOnce(this.nColumns, PIECE_CELLS);
  }

  cells(length: number): Cells {
    return new Float32Array(length);
  }

  async rows(rows: Int32Array): Promise<Cells> {
    const { nColumns } = this;
    const out = new Float32Array(rows.length * nColumns);
    for (const [i, row] of rows.entries()) {
      out.set(this.#numbers.subarray(row * nColumns, (row + 1) * nColumns), i * nColumns);
    }
    return out;
  }
}

/** In place, and rounded twice: to the weight's own number, and to what the target has of it. */
function moved(numbers: Float32Array<ArrayBuffer>, added: number, subtracted: number): Float32Array<ArrayBuffer> {
  if (added === subtracted) return numbers;
  for (let i = 0; i < numbers.length; i++) numbers[i] = Math.fround(numbers[i] + added) - subtracted;
  return numbers;
}

/** The format of cells that are kept: blocks of MXFP4 with scales apart get theirs back. */
function keptFormat({ dtype }: Binding) {
  return dtype === "mxfp4_split" ? "mxfp4" : dtype;
}

/** The numbers 0 to `length - 1`, so many at a time. */
function* runs(length: number, nAtOnce: number): Generator<Int32Array> {
  for (let from = 0; from < length; from += nAtOnce) yield numbersIn([from, Math.min(length, from + nAtOnce)]);
}

function atOnce(nCellsEach: number, nCells: number): number {
  return Math.max(1, Math.floor(nCells / nCellsEach));
}
