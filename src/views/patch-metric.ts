import { RequestError } from "../errors.ts";
import type { Model } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import type { FloatArray } from "../tensor/dtype.ts";
import { type TokenSpec, tokenId } from "./direction.ts";
import { quoteToken } from "./text/width.ts";
import { showToken } from "./tokens.ts";

/**
 * What a patch is judged by, at the last position: the answer's logit, less the wrong one's where there is one, or a
 * function of all logits [vocabSize].
 */
export type PatchMetric = { readonly answer: TokenSpec; readonly wrong?: TokenSpec } | ((logits: FloatArray) => number);

export interface Metric {
  readonly label: string;
  of(run: Run): number;
}

/** @throws RequestError for tokens that the model does not have. */
export function metricOf(path: string, model: Model, metric: PatchMetric): Metric {
  if (typeof metric === "function") {
    return {
      label: metric.name === "" || metric.name === "metric" ? "the metric" : metric.name,
      of: (run) => number(path, metric(lastLogits(run))),
    };
  }
  const { answer, wrong, ...others } = Object(metric);
  if (answer === undefined || Object.keys(others).length > 0) {
    throw new RequestError("request.option", {
      path,
      expected: "must be { answer }, { answer, wrong } or a function of the logits",
      got: JSON.stringify(metric),
    });
  }
  const [right, other] = [answer, wrong].map((token) =>
    token === undefined ? undefined : tokenId(path, model, token),
  );
  const name = (token: number): string => quoteToken(showToken(model, token).text);
  return {
    label: `logit of ${name(right as number)}${other === undefined ? "" : ` minus that of ${name(other)}`}`,
    of: (run) => {
      const logits = lastLogits(run);
      return logits[right as number] - (other === undefined ? 0 : logits[other]);
    },
  };
}

function lastLogits({ logits }: Run): FloatArray {
  return logits.row(-1).data;
}

function number(path: string, value: unknown): number {
  if (typeof value === "number") return value;
  const expected = "the function must give a number";
  throw new RequestError("request.option", { path, expected, got: typeof value });
}
