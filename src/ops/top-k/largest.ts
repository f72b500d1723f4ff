import type { FloatArray } from "../../tensor/dtype.ts";

/** Calls `take(index, rank)` for the k largest of `x` in descending order, ties to the lowest index, NaN last. */
export function largest(x: FloatArray, k: number, take: (index: number, rank: number) => void): void {
  const isLess = (i: number, j: number): boolean => (Number.isNaN(x[i]) ? !Number.isNaN(x[j]) : x[i] < x[j]);
  const best: number[] = [];
  for (let i = 0; i < x.length; i++) {
    if (best.length === k && !isLess(best[k - 1], i)) continue;
    let at = best.length;
    while (at > 0 && isLess(best[at - 1], i)) at--;
    best.splice(at, 0, i);
    if (best.length > k) best.pop();
  }
  best.forEach(take);
}
