/** Turns measurements into a table that fits 100 columns. */
import type { CeilingRow } from "./ceilings.ts";
import type { EngineRound, Round } from "./compare.ts";
import type { GlassResult } from "./engines/engine.ts";
import type { Machine } from "./machine.ts";
import { mean, median, quantile, type Spread, spread } from "./stats.ts";

/** What one token and one prompt cost by the model's own count. */
export interface ModelWork {
  readonly nPrefill: number;
  readonly prefillFlops: number;
  readonly decodeBytes: number;
}

/** One line: both engines' figures, how they compare in the same round, and what share of the machine's limit they reach. */
export interface ReportRow {
  readonly label: string;
  readonly golgi: Spread | undefined;
  readonly peer: Spread | undefined;
  readonly ratio: Spread | undefined;
  readonly ratioUnit: "as fast" | "as much";
  readonly golgiShare: number | undefined;
  readonly peerShare: number | undefined;
}

interface Measure {
  readonly label: string;
  readonly of: (engine: EngineRound) => number | undefined;
  /** Of figures where less is better, such as times, the inverse compares speeds. */
  readonly compares: "rates" | "times" | "sizes";
  readonly share?: (engine: EngineRound, value: number) => number | undefined;
}

const MB = 1e6;

function measures({ nPrefill, prefillFlops, decodeBytes }: ModelWork, nDecode: number): Measure[] {
  const rate = (ms: number | undefined, n = 1): number | undefined => (ms === undefined ? undefined : (n * 1000) / ms);
  const ofLimit = (used: number, perSecond: number | undefined): number | undefined =>
    perSecond === undefined ? undefined : used / perSecond;
  return [
    {
      label: "load, ms",
      of: ({ load }) => load?.loadMs,
      compares: "times",
      share: ({ touchMs }, value) => touchMs && touchMs / value,
    },
    {
      label: `prompt of ${nPrefill}, tok/s`,
      of: ({ prefillMs }) => rate(prefillMs, nPrefill),
      compares: "rates",
      share: ({ prefillCeiling }, value) => ofLimit((prefillFlops * value) / nPrefill, prefillCeiling),
    },
    {
      label: `text of ${nDecode}, tok/s`,
      of: ({ decodeMs }) => rate(decodeMs && mean(decodeMs)),
      compares: "rates",
      share: ({ decodeCeiling }, value) => ofLimit(decodeBytes * value, decodeCeiling),
    },
    {
      label: "  by its median token",
      of: ({ decodeMs }) => rate(decodeMs && median(decodeMs)),
      compares: "rates",
      share: ({ decodeCeiling }, value) => ofLimit(decodeBytes * value, decodeCeiling),
    },
    { label: "event loop held, ms", of: ({ heldMs }) => heldMs, compares: "times" },
    {
      label: "loaded, MB",
      of: ({ firstMemory }) => firstMemory && firstMemory.peak / MB,
      compares: "sizes",
      share: (_, value) => decodeBytes / MB / value,
    },
    { label: "most memory, MB", of: ({ memory }) => memory && memory.peak / MB, compares: "sizes" },
    { label: "  of it private", of: ({ memory }) => memory && memory.own / MB, compares: "sizes" },
  ];
}

/** Rows of figures that at least one engine has. */
export function summarise(rounds: readonly Round[], work: ModelWork, nDecode: number): ReportRow[] {
  return measures(work, nDecode)
    .map((measure) => summariseOne(rounds, measure))
    .filter(({ golgi, peer }) => golgi !== undefined || peer !== undefined);
}

function summariseOne(rounds: readonly Round[], { label, of, compares, share }: Measure): ReportRow {
  const present = <T>(values: readonly (T | undefined)[]): T[] => values.filter((value) => value !== undefined);
  const shares = (engines: readonly (EngineRound | undefined)[]): number | undefined => {
    const found = present(engines.map((e) => (e && of(e) !== undefined ? share?.(e, of(e) ?? 0) : undefined)));
    return found.length === 0 ? undefined : median(found);
  };
  const ratios = rounds.map(({ golgi, peer }) => {
    const [ours, theirs] = [of(golgi), peer && of(peer)];
    if (ours === undefined || theirs === undefined) return undefined;
    return compares === "times" ? theirs / ours : ours / theirs;
  });
  return {
    label,
    golgi: spread(present(rounds.map(({ golgi }) => of(golgi)))),
    peer: spread(present(rounds.map(({ peer }) => peer && of(peer)))),
    ratio: spread(present(ratios)),
    ratioUnit: compares === "sizes" ? "as much" : "as fast",
    golgiShare: shares(rounds.map(({ golgi }) => golgi)),
    peerShare: shares(rounds.map(({ peer }) => peer)),
  };
}

/** Widths of the columns: together, with a second share, 98. */
const LABEL = 23;
const FIGURE = 20;
const RATIO = 26;
const SHARE = 5;

/** Never glued to what follows, even where it is too long. */
function column(text: string, width: number): string {
  return `${text.padEnd(width - 1)} `;
}

export function renderComparison(rows: readonly ReportRow[], peer: string | undefined): string {
  const head = [column("", LABEL), column("golgi", FIGURE)];
  if (peer !== undefined) head.push(column(peer, FIGURE), column("golgi is", RATIO));
  return [[...head, "of limit"].join(""), ...rows.map(renderRow)].join("\n");

  function renderRow(row: ReportRow): string {
    const cells = [column(row.label, LABEL), column(figure(row.golgi), FIGURE)];
    if (peer !== undefined) {
      const { ratio } = row;
      const compared = ratio && `${significant(ratio.median)}x ${row.ratioUnit}${prefixed(range(ratio))}`;
      cells.push(column(figure(row.peer), FIGURE), column(compared ?? "", RATIO));
    }
    cells.push(column(percent(row.golgiShare), SHARE));
    if (peer !== undefined) cells.push(percent(row.peerShare));
    return cells.join("").trimEnd();
  }
}

function figure(value: Spread | undefined): string {
  return value === undefined ? "" : `${significant(value.median)}${prefixed(range(value))}`;
}

/** Nothing where there is but one sample. */
function range({ min, max }: Omit<Spread, "median">): string {
  return min === max ? "" : `${significant(min)}..${significant(max)}`;
}

function prefixed(text: string): string {
  return text === "" ? "" : ` ${text}`;
}

function percent(share: number | undefined): string {
  return share === undefined ? "" : `${Math.round(100 * share)}%`;
}

/** Three significant digits, which is more than such figures deserve. */
export function significant(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude >= 10_000) return `${significant(value / 1000)}k`;
  return value.toFixed(magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : 2);
}

export function renderMachine(machine: Machine, threads: number): string {
  const { cpu, cores, memoryBytes, isa, platform, node, commit, date, load } = machine;
  const memory = `${Math.round(memoryBytes / 2 ** 30)} GiB`;
  return [
    `golgi ${commit ?? "(no git)"}, ${date} UTC, Node ${node}, ${platform}`,
    `${cpu}, ${cores} cores, ${memory}; ${threads} threads, ${isa ?? "native engine not built"}; load ${load.toFixed(1)}`,
  ].join("\n");
}

const CEILING_TITLES = {
  read: "reading memory",
  f32: "f32 multiply-add",
  int8: "int8 dot product",
  bf16: "bf16 dot product",
} as const;

export function renderCeilings(rows: readonly CeilingRow[]): string {
  const lines = rows.map(({ kind, threads, instruction, perSecond }) => {
    const unit = kind === "read" ? "GB/s" : "GFLOP/s";
    const { median: m, min, max } = perSecond;
    const figures = `${significant(m / 1e9)} ${range({ min: min / 1e9, max: max / 1e9 })}`;
    const label = `${CEILING_TITLES[kind]}, ${threads} thread${threads === 1 ? "" : "s"}`;
    return `${label.padEnd(34)}${figures.padEnd(22)}${(kind === "int8" ? "GOP/s" : unit).padEnd(10)}${instruction}`;
  });
  return ["Limits of this machine, as measured throughout (a multiply and an add are 2)", ...lines].join("\n");
}

/** Cores that went elsewhere while figures were taken. */
export function renderOthers(rounds: readonly Round[], cores: number): string | undefined {
  const of = (pick: (round: Round) => number | undefined): number =>
    median(rounds.map(pick).filter((value) => value !== undefined));
  const [others, stolen] = [of((round) => round.others), of((round) => round.stolen)];
  if (!(others + stolen >= 0)) return undefined;
  const seen = `Meanwhile other programs used ${significant(others)} of ${cores} cores, the host ${significant(stolen)}.`;
  if (others + stolen <= 0.15) return seen;
  return `${seen}\nThat is a busy machine: figures are low, and engines that spin while they wait suffer most.`;
}

export interface GlassSummary {
  readonly plainMs: number;
  readonly readsMs: number;
  /** How much longer a step with reads takes: median of pairs, and the middle half of them. */
  readonly cost: { readonly median: number; readonly low: number; readonly high: number };
  /** The same of two steps without reads: what lies within is noise. */
  readonly noise: { readonly median: number; readonly low: number; readonly high: number };
}

export function summariseGlass({ steps }: Pick<GlassResult, "steps">): GlassSummary {
  const middle = (ratios: readonly number[]) => ({
    median: median(ratios) - 1,
    low: quantile(ratios, 0.25) - 1,
    high: quantile(ratios, 0.75) - 1,
  });
  return {
    plainMs: median(steps.flatMap(({ plain, again }) => [plain, again])),
    readsMs: median(steps.map(({ reads }) => reads)),
    cost: middle(steps.map(({ plain, reads, again }) => reads / ((plain + again) / 2))),
    noise: middle(steps.map(({ plain, again }) => again / plain)),
  };
}

export function renderGlass(result: GlassResult, summary: GlassSummary): string {
  const signed = (x: number): string => `${x < 0 ? "-" : "+"}${(Math.abs(x) * 100).toFixed(1)}%`;
  const line = ({ median: m, low, high }: GlassSummary["cost"]): string =>
    `${signed(m).padEnd(9)} (half of all pairs: ${signed(low)} .. ${signed(high)})`;
  return [
    `${result.steps.length} tokens, each run three times: without reads, with reads, without reads`,
    `read each time                ${result.points} points, ${result.values} numbers, ${(result.sizeBytes / 1e6).toFixed(2)} MB`,
    `a token without reads         ${significant(summary.plainMs)} ms`,
    `a token with reads            ${significant(summary.readsMs)} ms, until every number is there in JavaScript`,
    `reading costs                 ${line(summary.cost)}`,
    `the same without any reads    ${line(summary.noise)}`,
  ].join("\n");
}
