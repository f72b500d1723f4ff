/** The name of a point of every block; `{i}` is its layer. */
export const block = (name: string): string => `blocks.{i}.${name}`;

/** A name with its layer filled in. */
export function atLayer(name: string, layer: number | undefined): string {
  return layer === undefined ? name : name.replace("{i}", `${layer}`);
}

/** Each way to take one number of a name for what `{...}` stands for, such as `{e}`, with the number. */
export function generalised(name: string, symbol: string): { readonly general: string; readonly number: number }[] {
  return [...name.matchAll(/\b(?:0|[1-9]\d*)\b/g)].map(({ 0: digits, index }) => ({
    general: `${name.slice(0, index)}${symbol}${name.slice(index + digits.length)}`,
    number: Number(digits),
  }));
}
