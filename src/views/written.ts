import { norm } from "../ops/index.ts";
import type { Model, WeightScope } from "../run/model.ts";
import type { Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { entriesOf, extremes } from "./extremes.ts";
import { asManyAsFit, clip, quoteToken } from "./text/width.ts";
import { type ShownToken, showToken } from "./tokens.ts";

/** A token, and how much its logit is moved. */
export interface MovedToken extends ShownToken {
  readonly logit: number;
}

/** What a part writes to the residual stream, and what that alone does to the logits. */
export interface Written {
  /** Euclidean length. */
  readonly length: number;
  /** Tokens whose logits it moves most, with the final norm's divisor held fixed. */
  readonly promotes: readonly MovedToken[];
  readonly suppresses: readonly MovedToken[];
}

/** Outputs of a tape about a vector [1, dModel] that is written to the stream. */
export function buildWritten({ readout }: WeightScope, vector: Value, k: number): Record<string, Value> {
  return { "written.length": norm(vector), ...extremes("written.logits", readout(vector), k) };
}

/** `divisor` is the final norm's. */
export function presentWritten(model: Model, output: (name: string) => Tensor, divisor: number): Written {
  const [promotes, suppresses] = (["high", "low"] as const).map((end) =>
    entriesOf("written.logits", end, output, 0).map(({ index, value }) => ({
      ...showToken(model, index),
      logit: value / divisor,
    })),
  );
  return { length: output("written.length").at(0), promotes, suppresses };
}

export function printWritten({ length, promotes, suppresses }: Written, width: number): string {
  const list = (title: string, tokens: readonly MovedToken[]): string => {
    const shown = tokens.map(({ text, logit }) => `${quoteToken(text)} ${logit < 0 ? "" : "+"}${logit.toPrecision(3)}`);
    return `  ${title}  ${asManyAsFit(shown, width - title.length - 4)}`;
  };
  return [
    clip(`writes a vector of length ${length.toPrecision(4)}, which moves logits directly`, width),
    list("up  ", promotes),
    list("down", suppresses),
  ].join("\n");
}
