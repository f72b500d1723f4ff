import { RequestError } from "../errors.ts";
import type { EditObject } from "../glass/edit-spec.ts";
import type { Positions } from "../points/read-spec.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import type { Progress } from "../run/progress.ts";
import type { Run } from "../run/result.ts";
import { metricOf, type PatchMetric } from "./patch-metric.ts";
import { type PatchTarget, patchTargets } from "./patch-targets.ts";
import { type Report, report } from "./report.ts";
import { heatMap } from "./text/picture.ts";
import { table } from "./text/table.ts";
import { clip, quoteToken } from "./text/width.ts";
import { type ShownToken, showTokens } from "./tokens.ts";

export interface PatchOptions {
  /** The text that the values are taken from. */
  readonly clean: Prompt;
  /** The text that they are put into; it has as many tokens. */
  readonly corrupted: Prompt;
  /** What is patched, one at a time: addresses and globs; `*` in the place of an index is each: `L*.H*`, `L2.N*`. */
  readonly points: readonly string[];
  /** "each" patches every position by itself, "all" the whole text at once; or a list of positions and ranges. */
  readonly positions?: "each" | "all" | readonly Positions[];
  readonly metric: PatchMetric;
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
}

/** One patch and what came of it. */
export interface PatchResult extends PatchTarget {
  /** One position, a range, or "all". */
  readonly position: number | string;
  /** The corrupted text's token there, where it is one. */
  readonly token: string | undefined;
  readonly metric: number;
  /** 0 where it is as in the corrupted run, 1 where it is as in the clean run; null where the two do not differ. */
  readonly effect: number | null;
}

export interface Patch {
  readonly metric: string;
  readonly clean: PatchSide;
  readonly corrupted: PatchSide;
  readonly rows: readonly PatchResult[];
}

export interface PatchSide {
  readonly tokens: readonly ShownToken[];
  readonly metric: number;
}

/**
 * Activation patching (Meng et al. 2022, arXiv:2202.05262; Zhang & Nanda 2023, arXiv:2309.16042): runs the corrupted text
 * with one value at a time taken from the clean run, and tells how far that brings the metric back. Many patches share
 * each step and one program serves all; what comes before a patch's position is computed once.
 * @throws RequestError where the texts differ in length; PointError for addresses that the model does not have.
 */
export async function patch(model: Model, options: PatchOptions): Promise<Report<Patch>> {
  checkOptions("patch", options, ["clean", "corrupted", "points", "positions", "metric", "onProgress", "signal"]);
  const { positions = "each", signal, onProgress } = options;
  const metric = metricOf("patch: metric", model, options.metric);
  const targets = patchTargets(model, options.points);
  const [clean, corrupted] = pairOfTexts("patch", model, options.clean, options.corrupted);
  const [cleanRun, corruptedRun] = await cleanAndCorrupted(model, clean, corrupted, targets, signal);
  const [best, worst] = [metric.of(cleanRun), metric.of(corruptedRun)];
  const places = placesOf(positions, corrupted.length);
  const shown = showTokens(model, corrupted);
  const variants = targets.flatMap((target) => places.map((place) => ({ target, place })));
  const edits = targets.map(({ address }): EditObject[] => [{ at: address, patch: cleanRun }]);
  const rows: PatchResult[] = [];
  for await (const run of model.sweep(corrupted, edits, { positions: places, logits: "last", signal, onProgress })) {
    const { target, place } = variants[rows.length];
    const value = metric.of(run);
    rows.push({
      ...target,
      position: typeof place === "object" ? place.join(":") : place,
      token: typeof place === "number" ? shown.at(place)?.text : undefined,
      metric: value,
      effect: best === worst ? null : (value - worst) / (best - worst),
    });
  }
  const data: Patch = {
    metric: metric.label,
    clean: { tokens: showTokens(model, clean), metric: best },
    corrupted: { tokens: shown, metric: worst },
    rows,
  };
  return report(data, (width) => print(data, width));
}

/** Both texts as tokens, which must be as many. */
export function pairOfTexts(call: string, model: Model, clean: Prompt, corrupted: Prompt) {
  const [a, b] = [model.encode(clean), model.encode(corrupted)];
  if (a.length === b.length) return [a, b] as const;
  throw new RequestError("request.option", {
    path: `${call}: corrupted`,
    expected: `both texts must have as many tokens, so that each position has its counterpart; the clean one has ${a.length}`,
    got: `${b.length}`,
    remedy: "Choose words of as many tokens, or give token ids.",
  });
}

function cleanAndCorrupted(
  model: Model,
  clean: readonly number[],
  corrupted: readonly number[],
  targets: readonly PatchTarget[],
  signal: AbortSignal | undefined,
): Promise<[Run, Run]> {
  const read = [...new Set(targets.map(({ point }) => point))];
  return Promise.all([
    model.run(clean, { read, logits: "last", signal }),
    model.run(corrupted, { logits: "last", signal }),
  ]);
}

function placesOf(positions: NonNullable<PatchOptions["positions"]>, length: number): readonly Positions[] {
  if (positions === "all") return ["all"];
  if (positions === "each") return Array.from({ length }, (_, position) => position);
  if (Array.isArray(positions) && positions.length > 0) return positions;
  throw new RequestError("request.option", {
    path: "patch: positions",
    expected: 'must be "each", "all" or a list of positions and ranges',
    got: JSON.stringify(positions),
  });
}

/** Strongest patches listed. */
const N_LISTED = 10;
/** Components that a picture has lines for. */
const N_PICTURED = 40;

function print({ metric, clean, corrupted, rows }: Patch, width: number): string {
  const strongest = rows.toSorted((a, b) => Math.abs(b.effect ?? 0) - Math.abs(a.effect ?? 0)).slice(0, N_LISTED);
  const side = ({ tokens, metric }: PatchSide): string =>
    `${metric.toFixed(3)}  ${tokens.map(({ text }) => text).join("")}`;
  return [
    clip(metric, width),
    clip(`  clean      ${side(clean)}`, width),
    clip(`  corrupted  ${side(corrupted)}`, width),
    "",
    "Effect of taking one value from the clean run: 0 nothing, 1 as clean",
    table({
      head: ["effect", "metric", "what", "position"],
      rows: strongest.map(({ effect, metric, address, position, token }) => [
        effect,
        metric,
        address,
        token === undefined ? `${position}` : `${position} ${quoteToken(token)}`,
      ]),
      width,
    }),
    ...picture(rows, corrupted.tokens, width),
  ].join("\n");
}

/** Components × positions, where there are several of both; those with the largest effects in the order of the stack. */
function picture(rows: readonly PatchResult[], tokens: readonly ShownToken[], width: number): string[] {
  const byAddress = Map.groupBy(rows, ({ address }) => address);
  const nPlaces = rows.length / Math.max(1, byAddress.size);
  if (nPlaces < 2 || byAddress.size < 2) return [];
  const largest = (list: readonly PatchResult[]): number =>
    list.reduce((max, { effect }) => Math.max(max, Math.abs(effect ?? 0)), 0);
  const kept = new Set(
    [...byAddress]
      .toSorted(([, a], [, b]) => largest(b) - largest(a))
      .slice(0, N_PICTURED)
      .map(([address]) => address),
  );
  const shown = [...byAddress].filter(([address]) => kept.has(address));
  const columnLabels = shown[0][1].map(({ position }) =>
    typeof position === "number" ? (tokens.at(position)?.text ?? "") : position,
  );
  const left = byAddress.size - shown.length;
  return [
    "",
    heatMap(
      shown.map(([, list]) => list.map(({ effect }) => effect ?? Number.NaN)),
      { rowLabels: shown.map(([address]) => address), columnLabels, width },
    ),
    ...(left > 0 ? [`${left} more with smaller effects`] : []),
  ];
}
