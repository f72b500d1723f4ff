import { beforeNorm } from "../nn/norm.ts";
import { mul } from "../ops/index.ts";
import type { Model, WeightScope } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import { input } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";

/**
 * The way from what attention or an MLP gives to the residual stream: as it is, or through a norm of the family (Gemma 2,
 * OLMo 2), whose divisor is held fixed as that of the final norm is.
 */
export interface Route {
  /** What must be read at the position. */
  readonly points: readonly string[];
  /** What `back` and `forth` declare as inputs, from a run that read the points at one position. */
  inputs(run: Run): Readonly<Record<string, ArrayLike<number>>>;
  /** Directions [n, dModel] in the stream as directions of what the part gives. */
  back(scope: WeightScope, directions: Value): Value;
  /** Vectors [n, dModel] that the part gives as what is added to the stream. */
  forth(scope: WeightScope, vectors: Value): Value;
}

const STRAIGHT: Route = {
  points: [],
  inputs: () => ({}),
  back: (_, directions) => directions,
  forth: (_, vectors) => vectors,
};

/** The way of a layer's attention or MLP. */
export function routeOf({ bindings }: Pick<Model, "bindings">, layer: number, part: "attn" | "mlp"): Route {
  const norm = postNorm(layer, part);
  if (!bindings.weights.has(`${norm}.gain`)) return STRAIGHT;
  const scale = `${norm}.scale`;
  const inverse = (): Value => input(`1 / ${scale}`, "float", []);
  return {
    points: [scale],
    inputs: (run) => ({ [`1 / ${scale}`]: [1 / run.get(scale).at(0, 0)] }),
    back: ({ weight }, directions) => mul(beforeNorm(directions, { gain: weight(`${norm}.gain`) }), inverse()),
    forth: ({ weight }, vectors) => mul(mul(vectors, weight(`${norm}.gain`)), inverse()),
  };
}

/** The group of the norm after a part, where a family has one. */
export function postNorm(layer: number, part: "attn" | "mlp"): string {
  return `blocks.${layer}.${part === "attn" ? "ln1Post" : "ln2Post"}`;
}
