/** The name of a point of every block; `{i}` is its layer. */
export const block = (name: string): string => `blocks.{i}.${name}`;

/** A name with its layer filled in. */
export function atLayer(name: string, layer: number | undefined): string {
  return layer === undefined ? name : name.replace("{i}", `${layer}`);
}
