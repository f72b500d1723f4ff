import { norm, selectRows } from "../ops/index.ts";
import type { Positions } from "../points/read-spec.ts";
import type { View } from "./view.ts";

/** Euclidean length of vectors at points [T, d], such as what a part adds to the residual stream: [point][position]. */
export function lengths(points: readonly string[], positions: Positions): View<number[][]> {
  return {
    key: `lengths ${JSON.stringify([points, positions])}`,
    points,
    build({ at, rowsAt }) {
      const rows = rowsAt(positions);
      return Object.fromEntries(points.map((name) => [`length.${name}`, norm(selectRows(at(name), rows))]));
    },
    present: (run) => points.map((name) => Array.from(run.derived(`length.${name}`).data)),
  };
}
