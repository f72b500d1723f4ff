import { mul, topK } from "../ops/index.ts";
import { constant } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** One entry of a row. */
export interface Entry {
  readonly index: number;
  readonly value: number;
}

/** The `k` largest and the `k` smallest entries of each row of [n, size], as outputs of a tape that begin with `name`. */
export function extremes(name: string, x: Value, k: number): Record<string, Value> {
  const minus = constant("−1", Float64Array.of(-1), []);
  const [high, highIndex] = topK(x, { k });
  const [low, lowIndex] = topK(mul(x, minus), { k });
  return {
    [`${name}.high`]: high,
    [`${name}.highIndex`]: highIndex,
    [`${name}.low`]: low,
    [`${name}.lowIndex`]: lowIndex,
  };
}

/** The largest or the smallest entries of a row, the farthest from 0 first, out of what `extremes` put out. */
export function entriesOf(name: string, end: "high" | "low", output: (name: string) => Tensor, row: number): Entry[] {
  const sign = end === "high" ? 1 : -1;
  const values = output(`${name}.${end}`).row(row).data;
  return Array.from(output(`${name}.${end}Index`).row(row).data, (index, i) => ({ index, value: sign * values[i] }));
}

/** The `k` entries of a row that are largest in size, of either sign. */
export function largestInSize(name: string, output: (name: string) => Tensor, row: number): Entry[] {
  const [high, low] = [entriesOf(name, "high", output, row), entriesOf(name, "low", output, row)];
  // Where a row has few entries the same one may stand at both ends.
  const byIndex = new Map([...low, ...high].map((entry) => [entry.index, entry]));
  return [...byIndex.values()].sort(bySize).slice(0, high.length);
}

/** For a sort: the largest first, whatever its sign. */
export function bySize(a: { readonly value: number }, b: { readonly value: number }): number {
  return Math.abs(b.value) - Math.abs(a.value);
}
