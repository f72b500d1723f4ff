/** Repeatable random numbers: uniform in [0, 1), 32 bits of state (T. Ettinger's mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Float32 numbers from −2 to 2. */
export function randomFloats(random: () => number, length: number): Float32Array {
  return Float32Array.from({ length }, () => 4 * random() - 2);
}

/** The items in random order. */
export function shuffled<T>(random: () => number, items: readonly T[]): T[] {
  return items
    .map((item) => [random(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}
