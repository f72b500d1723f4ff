import type { Row } from "./registry.ts";

/** The three points of a norm. */
export function normRows(scope: string, axes: readonly string[], what: string): Row[] {
  return [
    {
      name: `${scope}.scale`,
      axes: [...axes.slice(0, -1), "1"],
      formula: `√(mean(x²) + eps), the divisor of ${what}; x is centred first in a LayerNorm`,
    },
    {
      name: `${scope}.normalized`,
      axes,
      formula: `x / scale in ${what}, before gain and bias`,
    },
    { name: `${scope}.out`, axes, formula: `${what}, gain and bias included: what the next part reads` },
  ];
}
