/** Most digits of the largest number of a column. */
const N_DIGITS = 4;

/**
 * Writes numbers that stand below one another: whole ones as they are, others with as many decimals as give the
 * largest four digits. What would then be zero, and whatever is huge, is written with an exponent.
 */
export function figures(values: Iterable<number>): (value: number) => string {
  const finite = [...values].filter(Number.isFinite);
  if (finite.every(Number.isInteger)) return (value) => `${value}`;
  const largest = finite.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const nWhole = Math.max(1, Math.floor(Math.log10(largest)) + 1);
  const nDecimals = Math.max(0, N_DIGITS - nWhole);
  return (value) => {
    if (!Number.isFinite(value)) return `${value}`;
    const isTiny = value !== 0 && Math.abs(value) < 0.5 * 10 ** -nDecimals;
    return isTiny || Math.abs(value) >= 1e6 ? value.toExponential(1) : value.toFixed(nDecimals);
  };
}
