import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { decodeRows, isBlockFormat } from "../tensor/format.ts";
import { numel } from "../tensor/shape.ts";
import type { Binding } from "../weights/bind.ts";

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

/**
 * Rows or columns of a weight in any order, read piece by piece: no more is in memory than what is asked for and one
 * piece of the file. Against the file's orientation each call reads the whole tensor once.
 */
export class WeightReader {
  readonly #binding: Binding;
  readonly #checkpoint: Checkpoint;
  readonly #asStored: boolean;
  readonly nRows: number;
  /** Cells of one row. */
  readonly nColumns: number;

  /** `asStored`: the bits of the elements, which keep what decoding and encoding might not (a NaN's payload). */
  constructor(binding: Binding, checkpoint: Checkpoint, asStored: boolean) {
    this.#binding = binding;
    this.#checkpoint = checkpoint;
    this.#asStored = asStored;
    this.nRows = binding.shape[0];
    const isBlocks = asStored && isBlockFormat(binding.dtype);
    this.nColumns = isBlocks ? binding.rowSizeBytes : numel(binding.shape) / this.nRows;
  }

  /** Rows to ask for at once. */
  get rowsAtOnce(): number {
    return atOnce(this.nColumns, this.#binding.transposed ? BLOCK_CELLS : PIECE_CELLS);
  }

  /** Columns to ask for at once. */
  get columnsAtOnce(): number {
    return atOnce(this.nRows, this.#binding.transposed ? PIECE_CELLS : BLOCK_CELLS);
  }

  /** Room for so many cells. */
  cells(length: number): Cells {
    const { dtype } = this.#binding;
    if (!this.#asStored) return new Float32Array(length);
    if (isBlockFormat(dtype)) return new Uint8Array(length);
    return dtype === "f32" ? new Uint32Array(length) : new Uint16Array(length);
  }

  /** These rows of the weight. [rows.length, nColumns] */
  rows(rows: Int32Array): Promise<Cells> {
    return this.#binding.transposed ? this.#rowsOfTransposed(rows) : this.#rowsInOrder(rows);
  }

  /** Lays columns `from` to `to - 1` as rows into `out`: each from cell `at` on, `stride` cells after the one before. */
  async columns(from: number, to: number, out: Cells, at: number, stride: number): Promise<void> {
    const { nColumns, nRows } = this;
    if (this.#binding.transposed) {
      const [first, end] = this.#binding.rows;
      const cells = await this.#read(from, to);
      const length = cells.length / (to - from);
      for (let i = 0; i < to - from; i++) {
        out.set(cells.subarray(i * length + first, i * length + end), i * stride + at);
      }
      return;
    }
    for (const rows of runs(nRows, atOnce(nColumns, PIECE_CELLS))) {
      const cells = await this.#rowsInOrder(rows);
      for (const [i, row] of rows.entries()) {
        for (let column = from; column < to; column++) {
          out[(column - from) * stride + at + row] = cells[i * nColumns + column];
        }
      }
    }
  }

  /** Of a weight whose rows are the tensor's rows. */
  async #rowsInOrder(rows: Int32Array): Promise<Cells> {
    const { storedRows, rows: range } = this.#binding;
    const places = rows.map((row) => range[0] + (storedRows?.[row] ?? row));
    const first = places.reduce((a, b) => Math.min(a, b));
    const last = places.reduce((a, b) => Math.max(a, b));
    const cells = await this.#read(first, last + 1);
    if (places.every((place, i) => place === first + i)) return cells;
    const out = this.cells(rows.length * this.nColumns);
    for (const [i, place] of places.entries()) {
      const from = (place - first) * this.nColumns;
      out.set(cells.subarray(from, from + this.nColumns), i * this.nColumns);
    }
    return out;
  }

  /** Of a weight whose rows are the tensor's columns. */
  async #rowsOfTransposed(rows: Int32Array): Promise<Cells> {
    const { tensor, rows: range } = this.#binding;
    const [nIn, nOut] = tensor.shape;
    const out = this.cells(rows.length * nIn);
    for (const inputs of runs(nIn, atOnce(nOut, PIECE_CELLS))) {
      const cells = await this.#read(inputs[0], inputs[0] + inputs.length);
      for (const [i, row] of rows.entries()) {
        for (const [k, input] of inputs.entries()) out[i * nIn + input] = cells[k * nOut + range[0] + row];
      }
    }
    return out;
  }

  /** Rows `from` to `to - 1` of the tensor as the file has them. */
  async #read(from: number, to: number): Promise<Cells> {
    const { tensor, dtype } = this.#binding;
    const bytes = await this.#checkpoint.readRows(tensor, from, to - from);
    if (!this.#asStored) {
      const numbers = new Float32Array(((to - from) * numel(tensor.shape)) / tensor.shape[0]);
      decodeRows(dtype, bytes, numbers, 0);
      return numbers;
    }
    if (isBlockFormat(dtype)) return bytes;
    const { buffer } = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
    return dtype === "f32" ? new Uint32Array(buffer) : new Uint16Array(buffer);
  }
}

/** The numbers 0 to `length - 1`, so many at a time. */
export function* runs(length: number, nAtOnce: number): Generator<Int32Array> {
  for (let from = 0; from < length; from += nAtOnce) {
    yield Int32Array.from({ length: Math.min(nAtOnce, length - from) }, (_, i) => from + i);
  }
}

function atOnce(nCellsEach: number, nCells: number): number {
  return Math.max(1, Math.floor(nCells / nCellsEach));
}
