/** Points of two runs of one text, compared where the same rows and slots mean the same. */

import type { CatalogEntry } from "../points/catalog.ts";
import { atLayer, block } from "../points/names.ts";
import type { Model } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import { numel } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { type Distance, distance } from "./diff-values.ts";

/** One point of two runs, over all positions that can be compared. */
export interface PointDifference extends Omit<Distance, "worstRow"> {
  readonly point: string;
  /** Of the largest |Δ|. */
  readonly worstPosition: number;
  /**
   * Positions that are left out since the two runs chose differently there, so that their places do not belong together: of
   * what has a place for each chosen expert where the experts or their order differ, of scores within groups where the
   * kept groups differ, of what one expert holds where one run alone chose it.
   */
  readonly nLeftOut: number;
}

/** Which experts or groups two runs chose, over all positions. */
export interface ChoiceDifference {
  readonly point: string;
  /** Choices of a that b did not make. */
  readonly nChanged: number;
  /** All choices of a. */
  readonly nChoices: number;
  readonly nPositionsChanged: number;
  /** The first of them; null where there are none. */
  readonly firstPosition: number | null;
}

const [INDICES, GROUPS] = [block("router.indices"), block("router.groupMask")];

/** Points that are choices, and how a row says what it chose. */
const CHOICES: ReadonlyMap<string, (row: ArrayLike<number>) => number[]> = new Map([
  [INDICES, (row: ArrayLike<number>) => Array.from(row)],
  [GROUPS, (mask: ArrayLike<number>) => Array.from(mask).flatMap((kept, group) => (kept === 0 ? [] : [group]))],
]);

/** For points whose rows mean the same only where a choice was the same: which choice. */
const CHOSEN_BY: ReadonlyMap<string, string> = new Map([
  ...["experts.pre", "experts.preLinear", "experts.post", "experts.out", "experts.contribution", "router.weights"].map(
    (name) => [block(name), INDICES] as const,
  ),
  [block("router.limitedScores"), GROUPS],
]);

export function isChoice({ row }: CatalogEntry): boolean {
  return CHOICES.has(row.name);
}

/** The points that must be read to compare one. */
export function readsFor(entry: CatalogEntry, { tape }: Pick<Model, "tape">): string[] {
  const choice = choiceOf(entry);
  // Not every router has groups.
  return choice === undefined || !tape.points.has(choice) ? [entry.name] : [entry.name, choice];
}

/** Of a part of one expert its positions say which rows belong together. */
function choiceOf({ row, layer, ofExpert }: CatalogEntry): string | undefined {
  const choice = ofExpert === undefined ? CHOSEN_BY.get(row.name) : undefined;
  return choice && atLayer(choice, layer);
}

export function comparePoint(entry: CatalogEntry, a: Run, b: Run): PointDifference {
  const { name, shape } = entry;
  const [x, y] = [a.get(name), b.get(name)];
  const together = rowsTogether(entry, a, b);
  if (together === undefined) {
    const axis = shape.findIndex((dim) => dim === "T" || dim === "R");
    const { worstRow, ...found } = distance(x, y, axis);
    return { point: name, ...found, worstPosition: worstRow, nLeftOut: 0 };
  }
  const { rows, nPositions } = together;
  const [ofA, ofB] = [rows.map(([row]) => row), rows.map(([, row]) => row)];
  const { worstRow, ...found } = distance(rowsAt(x, ofA), rowsAt(y, ofB), 0);
  return { point: name, ...found, worstPosition: rows[worstRow]?.[2] ?? 0, nLeftOut: nPositions - rows.length };
}

interface Together {
  readonly rows: readonly (readonly [ofA: number, ofB: number, position: number])[];
  /** At which either run has a row. */
  readonly nPositions: number;
}

/** The rows of a point that mean the same in both runs; undefined where all do. */
function rowsTogether(entry: CatalogEntry, a: Run, b: Run): Together | undefined {
  if (entry.ofExpert !== undefined) {
    const [ofA, ofB] = [a.positions(entry.name), b.positions(entry.name)];
    const rows = ofA.flatMap((position, row) => {
      const other = ofB.indexOf(position);
      return other < 0 ? [] : [[row, other, position] as const];
    });
    return { rows, nPositions: new Set([...ofA, ...ofB]).size };
  }
  const choice = choiceOf(entry);
  if (choice === undefined || !a.points.includes(choice)) return undefined;
  const [x, y] = [a.get(choice), b.get(choice)];
  const positions = Array.from({ length: x.shape[0] }, (_, position) => position);
  const rows = positions
    .filter((position) => x.row(position).data.every((value, i) => value === y.row(position).data[i]))
    .map((position) => [position, position, position] as const);
  return { rows, nPositions: positions.length };
}

function rowsAt(tensor: Tensor, rows: readonly number[]): Tensor {
  const size = numel(tensor.shape.slice(1));
  const data = new Float64Array(rows.length * size);
  for (const [i, row] of rows.entries()) data.set(tensor.row(row).data, i * size);
  return new Tensor([rows.length, ...tensor.shape.slice(1)], data);
}

export function compareChoice({ name, row }: CatalogEntry, a: Run, b: Run): ChoiceDifference {
  const [x, y] = [a.get(name), b.get(name)];
  const of = CHOICES.get(row.name) ?? ((values: ArrayLike<number>) => Array.from(values));
  const changed = Array.from({ length: x.shape[0] }, (_, position) => {
    const [ofA, ofB] = [of(x.row(position).data), of(y.row(position).data)];
    return { n: ofA.length, nChanged: ofA.filter((choice) => !ofB.includes(choice)).length };
  });
  const first = changed.findIndex(({ nChanged }) => nChanged > 0);
  return {
    point: name,
    nChanged: changed.reduce((total, { nChanged }) => total + nChanged, 0),
    nChoices: changed.reduce((total, { n }) => total + n, 0),
    nPositionsChanged: changed.filter(({ nChanged }) => nChanged > 0).length,
    firstPosition: first < 0 ? null : first,
  };
}
