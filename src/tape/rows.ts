/**
 * What a step's rows are: each row is one token at one position of one sequence. A prompt, one decoded token, a batch
 * of conversations and a training batch differ only in this.
 *
 * A sequence's rows are consecutive and its positions ascending. Its cached keys lie in pages of slots; the page
 * table says where. Attention visits a row's own visible keys and nothing else.
 */

/** Slots of one page of the key-value cache. */
export const PAGE_SIZE = 16;

export interface RowSequence {
  /** Page of positions [0, 16), of [16, 32), ...; at least as many as this step's last position needs. */
  readonly pages: readonly number[];
  /** Position of this step's first row, equal to the number of keys cached before the step. */
  readonly start: number;
  readonly nRows: number;
  /** Which row of the rotary frequencies the sequence uses. */
  readonly ropeVariant: number;
}

/** Under one window: for each row its first visible key, and where its pairs begin in a ragged array. */
export interface VisibleKeys {
  /** [T] position of the first visible key; the last is the row's own position. */
  readonly first: Int32Array;
  /** [T + 1] offset of a row's first pair; the last entry is the number of pairs. */
  readonly offset: Float64Array;
}

export class Rows {
  readonly sequences: readonly RowSequence[];
  readonly nRows: number;
  /** [T] index into `sequences`. */
  readonly sequence: Int32Array;
  /** [T] 0-based, BOS included. */
  readonly position: Int32Array;
  readonly #visible = new Map<number | undefined, VisibleKeys>();

  constructor(sequences: readonly RowSequence[]) {
    this.sequences = sequences;
    this.nRows = sequences.reduce((sum, s) => sum + s.nRows, 0);
    this.sequence = new Int32Array(this.nRows);
    this.position = new Int32Array(this.nRows);
    let row = 0;
    for (const [index, { start, nRows }] of sequences.entries()) {
      for (let i = 0; i < nRows; i++, row++) {
        this.sequence[row] = index;
        this.position[row] = start + i;
      }
    }
  }

  /** First row of each sequence, and the number of rows as the last entry. */
  get firstRows(): number[] {
    const first = [0];
    for (const { nRows } of this.sequences) first.push((first.at(-1) ?? 0) + nRows);
    return first;
  }

  /** The cache slot that holds `position` of the sequence. */
  slot(sequence: number, position: number): number {
    return this.sequences[sequence].pages[Math.floor(position / PAGE_SIZE)] * PAGE_SIZE + (position % PAGE_SIZE);
  }

  ropeVariant(row: number): number {
    return this.sequences[this.sequence[row]].ropeVariant;
  }

  /** Keys that each row sees: all up to itself, or the last `window` of them, itself included. */
  visible(window: number | undefined): VisibleKeys {
    const known = this.#visible.get(window);
    if (known !== undefined) return known;
    const first = new Int32Array(this.nRows);
    const offset = new Float64Array(this.nRows + 1);
    for (let t = 0; t < this.nRows; t++) {
      first[t] = window === undefined ? 0 : Math.max(0, this.position[t] - window + 1);
      offset[t + 1] = offset[t] + this.position[t] - first[t] + 1;
    }
    const visible = { first, offset };
    this.#visible.set(window, visible);
    return visible;
  }
}
