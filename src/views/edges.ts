import { raggedWindow } from "../glass/ragged.ts";
import { topKeys } from "../ops/index.ts";
import type { View } from "./view.ts";

/** One head at one position looking at another. */
export interface AttentionEdge {
  readonly layer: number;
  readonly head: number;
  /** Position that looks. */
  readonly from: number;
  /** Position that is looked at. */
  readonly to: number;
  /** Share of the head's attention. */
  readonly weight: number;
}

/**
 * The `n` strongest attention edges of each of the layers over one whole sequence: [layer][rank]. Left out are edges to the
 * token itself and to the first token, where heads rest that look for nothing (Xiao et al. 2023, arXiv:2309.17453).
 */
export function strongestEdges(layers: readonly number[], n: number): View<AttentionEdge[][]> {
  const name = (layer: number): string => `blocks.${layer}.attn.pattern`;
  // Of a row's strongest keys at most two are left out, and all that remain may be among the n.
  const k = n + 2;
  return {
    key: `edges ${JSON.stringify([layers, n])}`,
    points: layers.map(name),
    build({ at, rows }) {
      return Object.assign(
        {},
        ...layers.map((layer) => {
          const pattern = at(name(layer));
          const [weights, keys] = topKeys(pattern, rows, { k, ...raggedWindow(pattern) }); // [nHeads, T, k]
          return { [`edges.${layer}.weights`]: weights, [`edges.${layer}.keys`]: keys };
        }),
      );
    },
    present: (run) =>
      layers.map((layer) => {
        const weights = run.derived(`edges.${layer}.weights`);
        const keys = run.derived(`edges.${layer}.keys`);
        const [nHeads = 0, nRows = 0] = keys.shape;
        const edges: AttentionEdge[] = [];
        for (let head = 0; head < nHeads; head++) {
          for (let from = 0; from < nRows; from++) {
            for (let rank = 0; rank < k; rank++) {
              const to = keys.at(head, from, rank);
              if (to > 0 && to !== from) edges.push({ layer, head, from, to, weight: weights.at(head, from, rank) });
            }
          }
        }
        return edges.sort((a, b) => b.weight - a.weight).slice(0, n);
      }),
  };
}
