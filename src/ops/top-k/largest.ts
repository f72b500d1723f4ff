import type { FloatArray } from "../../tensor/dtype.ts";

/** Calls `take(index, rank)` for the k largest of `x` in descending order, ties to the lowest index, NaN last. */
export function largest(x: FloatArray, k: number, take: (index: number, rank: number) => void): void {
  const key = (i: number): number => (Number.isNaN(x[i]) ? Number.NEGATIVE_INFINITY : x[i]);
  const best: number[] = [];
  for (let i = 0; i < x.length; i++) {
    if (best.length === k && key(i) <= key(best[k - 1])) continue;
    let at = best.length;
    while (at > 0 && key(best[at - 1]) < key(i)) at--;
    best.splice(at, 0, i);
    if (best.length > k) best.pop();
  }
  best.forEach(take);
}
