/** Where a row stands in what is recorded. */
export interface Place {
  readonly sequence: number;
  readonly position: number;
}

/** The k largest values of each column over rows that come in parts: in descending order, ties to what came first, NaN last. */
export class LargestRows {
  /** [k, width], as are the places of the rows: −1 where there were fewer rows. */
  readonly values: Float32Array;
  readonly sequences: Int32Array;
  readonly positions: Int32Array;
  readonly #width: number;

  constructor(k: number, width: number) {
    this.values = new Float32Array(k * width).fill(Number.NEGATIVE_INFINITY);
    this.sequences = new Int32Array(k * width).fill(-1);
    this.positions = new Int32Array(k * width).fill(-1);
    this.#width = width;
  }

  /** The largest of further rows: [k, width] of values and of row indices, −1 where there are none, and each row's place. */
  add(values: ArrayLike<number>, rows: ArrayLike<number>, places: readonly Place[]): void {
    for (let i = 0; i < values.length; i++) {
      if (rows[i] >= 0) this.#insert(i % this.#width, values[i], places[rows[i]]);
    }
  }

  #insert(column: number, value: number, { sequence, position }: Place): void {
    const width = this.#width;
    let at = this.values.length + column;
    while (at >= width && this.#goesBefore(value, at - width)) {
      at -= width;
      if (at + width < this.values.length) this.#move(at, at + width);
    }
    if (at >= this.values.length) return;
    this.values[at] = value;
    this.sequences[at] = sequence;
    this.positions[at] = position;
  }

  #goesBefore(value: number, at: number): boolean {
    const other = this.values[at];
    return this.sequences[at] < 0 || value > other || (Number.isNaN(other) && !Number.isNaN(value));
  }

  #move(from: number, to: number): void {
    for (const array of [this.values, this.sequences, this.positions]) array[to] = array[from];
  }
}
