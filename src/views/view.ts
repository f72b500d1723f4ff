import type { Derived, GlassScope } from "../glass/plan.ts";
import type { Run } from "../run/result.ts";
import type { Value } from "../tape/value.ts";

/**
 * A view says what it needs computed (`points`, `build`) and turns the results into plain data (`present`). It does no
 * arithmetic of its own over weights or positions, and knows nothing of colours, files or terminals.
 */
export interface View<Data> extends Derived {
  present(run: Run): Data;
}

/** Several views as one, so that they share a single run. */
export function together(views: readonly Derived[]): Derived {
  return {
    key: views.map(({ key }) => key).join(" & "),
    points: views.flatMap(({ points }) => points),
    ints: Object.assign({}, ...views.map(({ ints }) => ints)),
    build: (scope: GlassScope): Record<string, Value> => Object.assign({}, ...views.map((view) => view.build(scope))),
  };
}
