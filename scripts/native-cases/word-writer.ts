/** Collects 32-bit words, little-endian; lists come after their length. */
export class WordWriter {
  readonly #chunks: Uint8Array[] = [];

  words(...words: number[]): void {
    this.#push(Int32Array.from(words));
  }

  float(value: number): void {
    this.#push(Float32Array.of(value));
  }

  ints(list: ArrayLike<number>): void {
    this.words(list.length);
    this.#push(Int32Array.from(list));
  }

  floats(list: Float32Array): void {
    this.words(list.length);
    this.#push(list);
  }

  /** Filled up to whole words. */
  rawBytes(bytes: Uint8Array): void {
    this.words(bytes.length);
    const filled = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
    filled.set(bytes);
    this.#chunks.push(filled);
  }

  text(text: string): void {
    this.rawBytes(new TextEncoder().encode(text));
  }

  many<T>(items: readonly T[], write: (item: T, i: number) => void): void {
    this.words(items.length);
    items.forEach(write);
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  #push(array: Int32Array | Float32Array): void {
    this.#chunks.push(new Uint8Array(array.slice().buffer));
  }
}
