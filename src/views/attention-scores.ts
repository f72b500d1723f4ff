/** What kind of head a pattern shows, as in Olsson et al. 2022 (arXiv:2209.11895) and TransformerLens' head detector. */

import type { FloatArray } from "../tensor/dtype.ts";

/** Each a share of attention from 0 to 1, a mean over some rows of the pattern; null where there is no such row. */
export interface HeadScores {
  /** On the token before: pattern[t, t − 1] over all rows t ≥ 1. */
  readonly previousToken: number | null;
  /** On earlier occurrences of the row's own token: Σ pattern[t, u] over u < t with equal tokens, over rows that have such a u. */
  readonly duplicateToken: number | null;
  /**
   * On what came right after earlier occurrences of the row's own token: Σ pattern[t, u + 1] over the same u, over the
   * same rows. u + 1 may be t itself.
   */
  readonly induction: number | null;
  /** On the first token, over all rows t ≥ 1. */
  readonly firstToken: number | null;
  /** −Σ p ln p of a row's attention, over all rows. In nats, and so not confined to 1. */
  readonly entropy: number;
}

/** A pattern's row for each token: weights by key position. */
export function headScores(rows: readonly FloatArray[], tokens: readonly number[]): HeadScores {
  const earlier = earlierOccurrences(tokens);
  const later = range(rows.length).slice(1);
  const repeated = later.filter((t) => earlier[t].length > 0);
  return {
    previousToken: meanOn(rows, later, (t) => [t - 1]),
    duplicateToken: meanOn(rows, repeated, (t) => earlier[t]),
    induction: meanOn(rows, repeated, (t) => earlier[t].map((u) => u + 1)),
    firstToken: meanOn(rows, later, () => [0]),
    entropy: rows.reduce((sum, row) => sum + entropy(row), 0) / rows.length,
  };
}

function meanOn(
  rows: readonly FloatArray[],
  selected: readonly number[],
  keysOf: (row: number) => readonly number[],
): number | null {
  if (selected.length === 0) return null;
  let total = 0;
  for (const t of selected) for (const key of keysOf(t)) total += rows[t][key];
  return total / selected.length;
}

/** For each token the positions before it that hold the same one. */
function earlierOccurrences(tokens: readonly number[]): number[][] {
  const seen = new Map<number, number[]>();
  return tokens.map((token, t) => {
    const before = seen.get(token) ?? [];
    seen.set(token, [...before, t]);
    return before;
  });
}

function entropy(shares: FloatArray): number {
  let sum = 0;
  for (const p of shares) if (p > 0) sum -= p * Math.log(p);
  return sum;
}

function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}
