import { mul, selectRows, softmax, sum, topK } from "../ops/index.ts";
import type { Positions } from "../points/read-spec.ts";
import { scope } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { View } from "./view.ts";

/** A token that a residual stream would predict. */
export interface Prediction {
  readonly token: number;
  readonly logit: number;
  readonly probability: number;
}

/** What the residual stream at one point and position would predict. */
export interface LensReading {
  /** The likeliest first. */
  readonly predictions: readonly Prediction[];
  /** Of the whole distribution, in nats. */
  readonly entropy: number;
  /** ln Σ exp(logit). */
  readonly logSumExp: number;
  /** All logits, where they were asked for. */
  readonly logits: Tensor | undefined;
}

/** What is handed out for each point and position. */
export interface LensOutputs {
  /** Likeliest tokens. */
  readonly k: number;
  /** Whole rows of logits too. */
  readonly wholeRows?: boolean;
}

/**
 * The logit lens (nostalgebraist 2020): what the model would predict if a residual stream were the last one, by the
 * real final norm, with its own statistics, and the unembedding: [point][position].
 */
export function lensView(points: readonly string[], positions: Positions, outputs: LensOutputs): View<LensReading[][]> {
  return {
    key: `lens ${JSON.stringify([points, positions, outputs])}`,
    points,
    build({ at, rowsAt, unembed }) {
      const rows = rowsAt(positions);
      const parts = points.map((name) => buildLens(name, () => unembed(selectRows(at(name), rows)), outputs));
      return Object.assign({}, ...parts);
    },
    present: (run) => points.map((name) => presentLens(name, (output) => run.derived(output), outputs)),
  };
}

/** Outputs of a tape that say what logits [n, vocabSize] predict; `unembed` makes those in a scope of their own. */
export function buildLens(point: string, unembed: () => Value, { k, wholeRows = false }: LensOutputs) {
  const name = `lens.${point}`;
  const logits = scope(name, unembed);
  const probabilities = softmax(logits);
  const [logit, token] = topK(logits, { k });
  return {
    [`${name}.token`]: token,
    [`${name}.logit`]: logit,
    [`${name}.probability`]: topK(probabilities, { k })[0],
    [`${name}.meanLogit`]: sum(mul(probabilities, logits)), // [n]
    ...(wholeRows && { [`${name}.logits`]: logits }),
  };
}

/** What `buildLens` put out, row by row. */
export function presentLens(
  point: string,
  output: (name: string) => Tensor,
  { k, wholeRows = false }: LensOutputs,
): LensReading[] {
  const of = (part: string): Tensor => output(`lens.${point}.${part}`);
  const [token, logit, probability, meanLogit] = ["token", "logit", "probability", "meanLogit"].map(of);
  const [nRows = 0] = token.shape;
  return Array.from({ length: nRows }, (_, row) => {
    const logSumExp = logit.at(row, 0) - Math.log(probability.at(row, 0));
    return {
      predictions: Array.from({ length: k }, (_, rank) => ({
        token: token.at(row, rank),
        logit: logit.at(row, rank),
        probability: probability.at(row, rank),
      })),
      // −Σ p ln p with ln p = logit − logSumExp; rounding can take it below the 0 of a certain prediction.
      entropy: Math.max(0, logSumExp - meanLogit.at(row)),
      logSumExp,
      logits: wholeRows ? of("logits").row(row) : undefined,
    };
  });
}
