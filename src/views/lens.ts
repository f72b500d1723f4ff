import { selectRows, softmax, topK } from "../ops/index.ts";
import type { Positions } from "../points/read-spec.ts";
import { scope } from "../tape/builder.ts";
import type { View } from "./view.ts";

/** A token that a residual stream would predict. */
export interface Prediction {
  readonly token: number;
  readonly probability: number;
}

/**
 * The logit lens (nostalgebraist 2020): what the model would predict if a residual stream were the last one, by the
 * real final norm, with its own statistics, and the unembedding. One list of `k` predictions for each point and
 * position: [point][position].
 */
export function lens(points: readonly string[], positions: Positions, k: number): View<Prediction[][][]> {
  return {
    key: `lens ${JSON.stringify([points, positions, k])}`,
    points,
    build({ at, rowsAt, unembed }) {
      const rows = rowsAt(positions);
      const outputs = points.map((name) =>
        scope(`lens.${name}`, () => topK(softmax(unembed(selectRows(at(name), rows))), { k })),
      );
      return Object.fromEntries(
        points.flatMap((name, i) => [
          [`lens.${name}.probability`, outputs[i][0]],
          [`lens.${name}.token`, outputs[i][1]],
        ]),
      );
    },
    present: (run) =>
      points.map((name) => {
        const probabilities = run.derived(`lens.${name}.probability`); // [positions, k]
        const tokens = run.derived(`lens.${name}.token`);
        return Array.from({ length: probabilities.shape[0] }, (_, row) =>
          Array.from({ length: k }, (_, rank) => ({
            token: tokens.at(row, rank),
            probability: probabilities.at(row, rank),
          })),
        );
      }),
  };
}
