import { PointError, RequestError } from "../errors.ts";
import type { CatalogEntry } from "../points/catalog.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { expand } from "../tape/rewrite.ts";
import type { Tape } from "../tape/tape.ts";
import type { Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";
import {
  type ChoiceDifference,
  compareChoice,
  comparePoint,
  isChoice,
  type PointDifference,
  readsFor,
} from "./diff-points.ts";
import { checkedTokens, type DiffSide, sideOf } from "./diff-sides.ts";
import { argmax, divergence } from "./diff-values.ts";
import { type Report, report } from "./report.ts";
import { shortPoint } from "./text/names.ts";
import { table } from "./text/table.ts";
import { quoteToken } from "./text/width.ts";
import { type ShownToken, showToken, showTokens } from "./tokens.ts";

export interface DiffOptions {
  /** Names and globs of points to compare; where undefined all, without second names and what is derived from others. */
  readonly points?: readonly string[];
  /** Largest |Δ| that does not count as a difference; 0 unless asked otherwise. */
  readonly threshold?: number;
  readonly signal?: AbortSignal;
}

/** What two runs predict after one token. */
export interface PredictionDifference {
  readonly position: number;
  /** Kullback-Leibler divergence of b's prediction from a's, Σ pₐ ln(pₐ / p_b), in nats. */
  readonly divergence: number;
  readonly likeliestA: ShownToken;
  readonly likeliestB: ShownToken;
}

export interface Diff {
  readonly tokens: readonly ShownToken[];
  /** Largest relative difference first; equal ones in the order in which they are computed. */
  readonly points: readonly PointDifference[];
  /** Points that say which experts or groups of experts were chosen, in the order in which they are computed. */
  readonly choices: readonly ChoiceDifference[];
  /** The first point, in the order in which they are computed, with a difference above the threshold or another choice. */
  readonly firstDifference: string | null;
  readonly threshold: number;
  readonly predictions: readonly PredictionDifference[];
  readonly meanDivergence: number;
  /** Positions at which the likeliest next token is another. */
  readonly nLikeliestChanged: number;
  /** The points in the order in which they are computed, for plots. */
  readonly rows: readonly PointDifference[];
}

/**
 * What two runs of one text differ in, point by point: a model with and without edits, or two models of one shape, such
 * as a quantised one and its original. Points are compared in groups of at most 64 MiB of each side, or of one point that
 * is larger; the text runs once for each group on each side. At the end the logits of all positions are held as well.
 */
export async function diff(a: DiffSide, b: DiffSide, text: Prompt, options: DiffOptions = {}): Promise<Report<Diff>> {
  checkOptions("diff", options, ["points", "threshold", "signal"]);
  const { points, threshold = 0, signal } = options;
  checkThreshold(threshold);
  const [first, second] = [sideOf("diff: a", a), sideOf("diff: b", b)];
  const tokens = checkedTokens("diff", first.model, second.model, text);
  const entries = commonEntries(first.model, second.model, points);
  const rows: PointDifference[] = [];
  const choices: ChoiceDifference[] = [];
  let firstDifference: string | null = null;
  const predictions: PredictionDifference[] = [];
  const groups = grouped(entries, tokens.length);
  for (const group of groups) {
    const isLast = group === groups.at(-1);
    const read = [...new Set(group.flatMap((entry) => readsFor(entry, first.model)))];
    const request = { read, logits: isLast ? "all" : "none", signal } as const;
    const x = await first.model.run(tokens, { ...request, edits: first.edits });
    const y = await second.model.run(tokens, { ...request, edits: second.edits });
    for (const entry of group) {
      const choice = isChoice(entry) ? compareChoice(entry, x, y) : undefined;
      const row = choice === undefined ? comparePoint(entry, x, y) : undefined;
      if (choice !== undefined) choices.push(choice);
      if (row !== undefined) rows.push(row);
      if ((choice?.nChanged ?? 0) > 0 || (row?.maxAbs ?? 0) > threshold) firstDifference ??= entry.name;
    }
    if (!isLast) continue;
    for (const position of tokens.keys()) {
      predictions.push(predictionDifference(first.model, position, x.logits.row(position), y.logits.row(position)));
    }
  }
  const data: Diff = {
    tokens: showTokens(first.model, tokens),
    points: rows.toSorted((p, q) => q.relative - p.relative || 0),
    choices,
    firstDifference,
    threshold,
    predictions,
    meanDivergence: predictions.reduce((sum, { divergence }) => sum + divergence, 0) / predictions.length,
    nLikeliestChanged: predictions.filter(isChanged).length,
    rows,
  };
  return report(data, (width) => print(data, width));
}

function checkThreshold(threshold: number): void {
  if (threshold >= 0) return;
  const path = "diff: threshold";
  throw new RequestError("request.option", { path, expected: "must be at least 0", got: `${threshold}` });
}

/** The points to compare, in the order in which they are computed. */
function commonEntries(a: Model, b: Model, points: readonly string[] | undefined): CatalogEntry[] {
  const names = new Set(b.points().map(({ name }) => name));
  const isCommon = ({ name, ofExpert }: CatalogEntry): boolean => names.has(ofExpert?.whole.name ?? name);
  const found = a.resolveReads(points ?? ["**"]).filter(({ entry }) => isCommon(entry));
  const positioned = found.find(({ positions }) => positions !== "all");
  if (positioned !== undefined) {
    throw new PointError("point.positions", {
      path: positioned.entry.name,
      expected: "a diff compares all positions",
      got: JSON.stringify(positioned.positions),
      remedy: "Leave the positions out.",
    });
  }
  const all = found.map(({ entry }) => entry);
  const entries = points === undefined ? ofTheirOwn(all, expand(a.tape)) : all;
  if (entries.length > 0) return entries;
  const got = points === undefined ? "none" : `none of ${points.join(", ")}`;
  throw new PointError("point.absent", { path: "diff: points", expected: "both models must have a point", got });
}

/** Without points that are derived from others, and without second names of one value. */
function ofTheirOwn(entries: readonly CatalogEntry[], tape: Tape): CatalogEntry[] {
  const seen = new Set<Value | undefined>();
  return entries.filter(({ name, row }) => {
    const value = tape.points.get(name);
    if (row.derive !== undefined || seen.has(value)) return false;
    seen.add(value);
    return true;
  });
}

const MAX_GROUP_BYTES = 2 ** 26;

/** Neighbours whose values over a text take at most `maxBytes` together, or one alone that takes more. */
export function grouped(
  entries: readonly CatalogEntry[],
  nTokens: number,
  maxBytes: number = MAX_GROUP_BYTES,
): CatalogEntry[][] {
  const groups: CatalogEntry[][] = [];
  let left = 0;
  for (const entry of entries) {
    const nBytes =
      4 * entry.shape.reduce((product: number, dim) => product * (typeof dim === "number" ? dim : nTokens), 1);
    const last = groups.at(-1);
    if (last === undefined || nBytes > left) {
      groups.push([entry]);
      left = maxBytes;
    } else last.push(entry);
    left -= nBytes;
  }
  return groups;
}

function predictionDifference(model: Model, position: number, a: Tensor, b: Tensor): PredictionDifference {
  return {
    position,
    divergence: divergence(a.data, b.data),
    likeliestA: showToken(model, argmax(a.data)),
    likeliestB: showToken(model, argmax(b.data)),
  };
}

function isChanged({ likeliestA, likeliestB }: PredictionDifference): boolean {
  return likeliestA.token !== likeliestB.token;
}

const MAX_POINTS_PRINTED = 20;
const MAX_PREDICTIONS_PRINTED = 10;

function print(data: Diff, width: number): string {
  const { tokens, points, choices, firstDifference, threshold, predictions } = data;
  const { meanDivergence, nLikeliestChanged } = data;
  const above = threshold === 0 ? "" : ` by more than ${threshold}`;
  const beginning =
    firstDifference === null ? `No point differs${above}.` : `They first differ${above} at ${firstDifference}.`;
  const shown = points.filter(({ maxAbs }) => maxAbs > 0).slice(0, MAX_POINTS_PRINTED);
  const largest = table({
    head: ["point", "max |Δ|", "mean |Δ|", "relative", "cosine", "at"],
    rows: shown.map(({ point, maxAbs, meanAbs, relative, cosine, worstPosition }) => {
      return [shortPoint(point), maxAbs, meanAbs, relative, cosine, worstPosition];
    }),
    width,
  });
  const nLeftOut = points.reduce((most, point) => Math.max(most, point.nLeftOut), 0);
  const strongest = predictions
    .toSorted((p, q) => q.divergence - p.divergence)
    .filter((prediction) => prediction.divergence > 0 || isChanged(prediction))
    .slice(0, MAX_PREDICTIONS_PRINTED);
  const next = table({
    head: ["after", "", "divergence", "likeliest in a", "likeliest in b"],
    rows: strongest.map(({ position, divergence, likeliestA, likeliestB }) => [
      ...[position, quoteToken(tokens[position].text), divergence],
      ...[quoteToken(likeliestA.text), quoteToken(likeliestB.text)],
    ]),
    width,
  });
  const likeliest = `The likeliest next token changes at ${nLikeliestChanged} of ${tokens.length} positions`;
  return [
    `Two runs of ${tokens.length} tokens. ${beginning}`,
    ...(shown.length === 0 ? [] : [largest]),
    ...(nLeftOut === 0
      ? []
      : [`Places of experts are compared without up to ${nLeftOut} tokens that chose others, or in another order.`]),
    ...printChoices(choices, tokens.length, width),
    `${likeliest}; mean divergence ${meanDivergence.toPrecision(3)} nats.`,
    ...(strongest.length === 0 ? [] : [next]),
  ].join("\n");
}

/** Where other experts or groups were chosen. */
function printChoices(choices: readonly ChoiceDifference[], nTokens: number, width: number): string[] {
  const changed = choices.filter(({ nChanged }) => nChanged > 0);
  if (changed.length === 0) return [];
  const choice = table({
    head: ["choice", "changed", "of", "tokens", "first at"],
    rows: changed.map(({ point, nChanged, nChoices, nPositionsChanged, firstPosition }) => {
      return [shortPoint(point), nChanged, nChoices, nPositionsChanged, firstPosition];
    }),
    width,
  });
  return [`Choices of experts change, for each of ${nTokens} tokens`, choice];
}
