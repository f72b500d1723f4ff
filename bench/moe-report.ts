/** Tables of at most 100 columns from the measurements of moe.ts. */
import type { LayerKind } from "./moe-layer.ts";
import { significant } from "./report.ts";
import { mean, median, type Spread, spread } from "./stats.ts";

/** One round of one layer. */
export interface LayerRound {
  /** Milliseconds of a step. */
  readonly ms: Readonly<Record<LayerKind, number>>;
  /** Experts that some row chose, on average over the round's steps. */
  readonly nDistinct: number;
  /** Their weights and the shared expert's, as a share of all. */
  readonly share: number;
  /** Bytes a second of reading memory; undefined where nothing can measure it. */
  readonly ceiling: number | undefined;
}

export interface LayerResult {
  readonly title: string;
  readonly nRows: number;
  readonly nExperts: number;
  /** Of all experts' weights, the shared one's included. */
  readonly totalBytes: number;
  readonly rounds: readonly LayerRound[];
}

export function renderLayer({ title, nRows, nExperts, totalBytes, rounds }: LayerResult): string {
  const line = (label: string, kind: LayerKind, shareOf: (round: LayerRound) => number): string => {
    const rates = rounds.map((round) => (1000 * shareOf(round) * totalBytes) / round.ms[kind]);
    const cells = [
      figures(spread(rounds.map(({ ms }) => ms[kind]))),
      significant(median(rates) / 1e9),
      limit(rates, rounds),
    ];
    return columns(label, cells);
  };
  const middle = (of: (round: LayerRound) => number): number => median(rounds.map(of));
  const [nDistinct, share] = [middle((round) => round.nDistinct), middle((round) => round.share)];
  const time = middle(({ ms }) => ms.routed / ms.all);
  const timeOfShare = middle(({ ms, share }) => ms.routed / ms.all / share);
  const rate = middle(({ ms, share }) => (share * ms.plain) / ms.routed);
  return [
    `${title}, ${nRows} ${nRows === 1 ? "row" : "rows"} a step, ${counted(rounds.length, "round")}: median least..most`,
    columns("", ["ms", "GB/s", "of limit"]),
    line("as routed", "routed", (round) => round.share),
    line("with every expert on", "all", () => 1),
    line("plain products of all", "plain", () => 1),
    `${significant(nDistinct)} of ${nExperts} experts have rows: ${percent(share)} of the weights take ${percent(time)} of the time, ${significant(timeOfShare)} times their share.`,
    `As routed, bytes are read ${significant(rate)} times as fast as in plain products.`,
  ].join("\n");
}

/** One round of both models: milliseconds of each token. */
export interface ModelsRound {
  readonly sparse: readonly number[];
  readonly dense: readonly number[];
  readonly ceiling: number | undefined;
}

export interface ModelsResult {
  readonly title: string;
  /** Of the weights that one token needs. */
  readonly bytes: { readonly sparse: number; readonly dense: number };
  readonly rounds: readonly ModelsRound[];
}

export function renderModels({ title, bytes, rounds }: ModelsResult): string {
  const line = (label: string, kind: "sparse" | "dense"): string => {
    const rates = rounds.map((round) => 1000 / mean(round[kind]));
    const byMedian = median(rounds.map((round) => 1000 / median(round[kind])));
    const read = rates.map((rate) => rate * bytes[kind]);
    const cells = [figures(spread(rates)), significant(byMedian), significant(bytes[kind] / 1e6), limit(read, rounds)];
    return columns(label, cells);
  };
  const faster = median(rounds.map(({ sparse, dense }) => mean(dense) / mean(sparse)));
  const nTokens = rounds[0]?.sparse.length ?? 0;
  return [
    `${title}, a text of ${counted(nTokens, "token")}, ${counted(rounds.length, "round")}: median least..most`,
    columns("", ["tok/s", "median token", "MB a token", "of limit"]),
    line("with experts", "sparse"),
    line("dense, of the same size", "dense"),
    `Experts make a token ${significant(faster)} times as fast, with ${percent(bytes.sparse / bytes.dense)} of the bytes.`,
  ].join("\n");
}

function columns(label: string, [first, ...others]: readonly string[]): string {
  return [label.padEnd(25), (first ?? "").padEnd(24), ...others.map((cell) => cell.padEnd(14))].join("").trimEnd();
}

function figures(value: Spread | undefined): string {
  if (value === undefined) return "";
  return `${significant(value.median)} ${significant(value.min)}..${significant(value.max)}`;
}

/** Bytes a second beside the limit of the same round. */
function limit(rates: readonly number[], rounds: readonly { readonly ceiling: number | undefined }[]): string {
  const shares = rates.flatMap((rate, i) => {
    const ceiling = rounds[i]?.ceiling;
    return ceiling === undefined ? [] : [rate / ceiling];
  });
  return shares.length === 0 ? "" : percent(median(shares));
}

function counted(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;
}
