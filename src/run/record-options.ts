import type { ModelConfig } from "../config/model-config.ts";
import { PointError, RequestError } from "../errors.ts";
import type { EditSpec } from "../glass/edit-spec.ts";
import type { Read } from "../glass/plan.ts";
import type { ReadSpec } from "../points/read-spec.ts";
import type { Prompt } from "./chat.ts";
import { checkList, checkOptions } from "./options.ts";
import type { Progress } from "./progress.ts";
import { firstRows, type RecordedPoint, type RecordedSequence, type Reduce } from "./recording-layout.ts";

export interface RecordOptions {
  /** Points to record, as in a run. */
  readonly read: readonly ReadSpec[];
  /** What to keep instead of all values. */
  readonly reduce?: Reduce;
  /** A file to write instead of keeping the values in memory; one that is there is replaced once the new one is whole. */
  readonly to?: string;
  /** Tokens of the texts that share a step; a longer text has one alone. */
  readonly batch?: number;
  readonly edits?: readonly EditSpec[];
  readonly signal?: AbortSignal;
  /** Hears how many tokens are done. */
  readonly onProgress?: (progress: Progress) => void;
}

/** Refuses what cannot be recorded. */
export function checkRecordOptions(texts: readonly Prompt[], options: RecordOptions): void {
  checkList("record: texts", texts, "texts");
  checkOptions("record", options, ["read", "reduce", "to", "batch", "edits", "signal", "onProgress"]);
  const { read, reduce, batch, edits = [] } = options;
  checkList("record: read", read, "points");
  checkList("record: edits", edits, "edits");
  if (edits.some((edit) => Array.isArray(edit))) throw option("edits", "must be one list for all texts", "lists");
  if (texts.length === 0) throw option("texts", "there must be something to record", "none");
  if (read.length === 0) throw option("read", "there must be something to record", "none");
  const isCount = (n: unknown): boolean => Number.isSafeInteger(n) && (n as number) > 0;
  if (batch !== undefined && !isCount(batch)) throw option("batch", "must be a number of tokens", `${batch}`);
  const { topK, ...others } = Object(reduce);
  const isKnown = reduce === undefined || reduce === "mean" || reduce === "variance" || isCount(topK);
  if (isKnown && (typeof reduce !== "object" || Object.keys(others).length === 0)) return;
  throw option("reduce", 'must be "mean", "variance" or { topK: k }', JSON.stringify(reduce));
}

/** Finds now what would else stop the last step after hours. */
export function checkSequences(
  sequences: readonly RecordedSequence[],
  { contextLength, vocabSize }: Pick<ModelConfig, "contextLength" | "vocabSize">,
): void {
  const isToken = (token: number): boolean => Number.isInteger(token) && token >= 0 && token < vocabSize;
  const strange = sequences.findIndex(({ tokens }) => !tokens.every(isToken));
  if (strange >= 0) {
    throw new RequestError("request.tokens", {
      path: `record: texts[${strange}]`,
      expected: `token ids are integers from 0 to ${vocabSize - 1}`,
      got: `${sequences[strange].tokens.find((token) => !isToken(token))}`,
    });
  }
  const wrong = sequences.findIndex(({ tokens }) => tokens.length === 0 || tokens.length > contextLength);
  if (wrong < 0) return;
  throw new RequestError("request.context", {
    path: `record: texts[${wrong}]`,
    expected: `a text has 1 to ${contextLength} tokens (the model's context length)`,
    got: `${sequences[wrong].tokens.length}`,
    remedy: "Split or shorten it.",
  });
}

/** What a recording keeps of a read. @throws PointError where that is nothing. */
export function pointOf(
  { entry, positions, before }: Read,
  sequences: readonly RecordedSequence[],
  reduce: Reduce | undefined,
): RecordedPoint {
  const { name: path, shape, ofExpert, type } = entry;
  if (ofExpert !== undefined) {
    throw new PointError("point.positions", {
      path,
      expected: "a recording holds points that have a row for each token",
      got: `what expert ${ofExpert.expert} holds, for the tokens that went to it`,
      remedy: `Record ${ofExpert.whole.name} and ${ofExpert.indices.name}, or read it in a run.`,
    });
  }
  if (type === "int" && reduce !== undefined) {
    throw new PointError("point.absent", {
      path,
      expected: "only real numbers can be reduced",
      got: "whole numbers, which experts were chosen",
      remedy: "Record it without reduce.",
    });
  }
  if (before) {
    throw new PointError("point.edit", {
      path,
      expected: "a recording holds points as they are after edits",
      got: "before",
      remedy: "Record without the edit.",
    });
  }
  const isOverKeys = shape.includes("S");
  const rowShape = (isOverKeys ? shape.slice(0, 1) : shape.slice(1)) as number[];
  const point: RecordedPoint = { name: path, positions, rowShape, isOverKeys, dtype: type === "int" ? "i32" : "f32" };
  if (firstRows(point, sequences).at(-1) !== 0) return point;
  throw new PointError("point.positions", {
    path,
    expected: "a recording of a point has at least one row",
    got: JSON.stringify(positions),
    remedy: "Give a range that is not empty.",
  });
}

function option(name: string, expected: string, got: string): RequestError {
  return new RequestError("request.option", { path: `record: ${name}`, expected, got });
}
