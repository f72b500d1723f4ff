import { type Positions, resolvePositions } from "../points/read-spec.ts";
import type { View } from "./view.ts";

/** An expert that a token went to, and what its output was multiplied with. */
export interface ChosenExpert {
  readonly expert: number;
  readonly weight: number;
}

/** The experts that tokens went to in some sparse layers, in the order of the router: [layer][position][slot]. */
export function routerChoices(layers: readonly number[], positions: Positions): View<ChosenExpert[][][]> {
  const parts = ["indices", "weights"] as const;
  const point = (layer: number, part: (typeof parts)[number]): string => `blocks.${layer}.router.${part}`;
  return {
    key: `choices ${JSON.stringify(layers)}`,
    points: layers.flatMap((layer) => parts.map((part) => point(layer, part))),
    build({ at }) {
      const all = layers.flatMap((layer) => parts.map((part) => [`choices.${layer}.${part}`, at(point(layer, part))]));
      return Object.fromEntries(all); // [T, A]
    },
    present: (run) =>
      layers.map((layer) => {
        const [indices, weights] = parts.map((part) => run.derived(`choices.${layer}.${part}`));
        const [nTokens, nSlots] = indices.shape;
        const [from, end] = resolvePositions(positions, 0, nTokens, "positions");
        return Array.from({ length: end - from }, (_, row) =>
          Array.from({ length: nSlots }, (_, slot): ChosenExpert => {
            return { expert: indices.at(from + row, slot), weight: weights.at(from + row, slot) };
          }),
        );
      }),
  };
}

/** An expert and its weight, as they are written in lists. */
export function expertItem({ expert, weight }: ChosenExpert): string {
  return `E${expert} ${weight.toFixed(3)}`;
}
