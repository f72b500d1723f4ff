/** Numbers as marks: bars, and matrices as shades. */

import { figures } from "./figures.ts";
import { clip, escapeInvisible, padEnd, widthOf } from "./width.ts";

/** A horizontal bar of `share` (0 to 1; none for NaN) of `width` columns, in eighths of a column. */
export function bar(share: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share || 0)) * width * 8);
  return "█".repeat(Math.floor(eighths / 8)) + (eighths % 8 === 0 ? "" : "▏▎▍▌▋▊▉"[(eighths % 8) - 1]);
}

export interface HeatMapOptions {
  readonly rowLabels: readonly string[];
  /** Shown where cells are wide enough for them; their indices otherwise. */
  readonly columnLabels?: readonly string[];
  readonly width: number;
}

const POSITIVE = " ░▒▓█";
const NEGATIVE = " -=≡#";
const MAX_LABEL_WIDTH = 24;
const MAX_CELL_WIDTH = 8;
/** Narrower, a label says nothing. */
const MIN_LABELLED_CELL = 4;
/** Columns of text from one index above them to the next. */
const TICK = 10;

/**
 * A matrix as shades of the largest absolute value, signs apart, and a legend. Where it has more columns than there is
 * room for, one mark stands for the largest of several neighbours. What is not a number stays blank.
 */
export function heatMap(matrix: readonly ArrayLike<number>[], options: HeatMapOptions): string {
  const { rowLabels, columnLabels, width } = options;
  const labels = rowLabels.map((label) => clip(escapeInvisible(label), MAX_LABEL_WIDTH));
  const labelWidth = labels.reduce((max, label) => Math.max(max, widthOf(label)), 0) + 1;
  const room = width - labelWidth;
  const nColumns = matrix.reduce((max, row) => Math.max(max, row.length), 0);
  const nTogether = Math.max(1, Math.ceil(nColumns / room));
  const nCells = Math.ceil(nColumns / nTogether);
  const cellWidth = Math.min(MAX_CELL_WIDTH, Math.max(1, Math.floor(room / Math.max(1, nCells))));
  const cells = matrix.map((row) => strongest(row, nTogether));
  const largest = cells.flat().reduce((max, value) => Math.max(max, Math.abs(value) || 0), 0);
  const lines = cells.map((row, i) => {
    const marks = row.map((value) => shade(value / largest).repeat(cellWidth)).join("");
    return (padEnd(labels[i], labelWidth) + marks).trimEnd();
  });
  const heading =
    columnLabels !== undefined && cellWidth >= MIN_LABELLED_CELL && nTogether === 1
      ? columnLabels.map((label) => padEnd(clip(escapeInvisible(label), cellWidth - 1), cellWidth)).join("")
      : ticks(nCells, nTogether, cellWidth);
  const above = `${" ".repeat(labelWidth)}${heading}`.trimEnd();
  const isSigned = cells.some((row) => row.some((value) => value < 0));
  return [clip(above, width), ...lines, clip(legend(largest, isSigned, nTogether), width)].join("\n");
}

/** Of each `n` neighbours, the value of the largest size. */
function strongest(row: ArrayLike<number>, n: number): number[] {
  return Array.from({ length: Math.ceil(row.length / n) }, (_, cell) => {
    let best = Number.NaN;
    for (let i = cell * n; i < Math.min(row.length, (cell + 1) * n); i++) {
      if (!(Math.abs(row[i]) <= Math.abs(best))) best = Number.isNaN(row[i]) ? best : row[i];
    }
    return best;
  });
}

function shade(share: number): string {
  if (Number.isNaN(share)) return " ";
  const marks = share < 0 ? NEGATIVE : POSITIVE;
  return marks[Math.min(4, Math.round(Math.abs(share) * 4))];
}

/** The index of every tenth column or so, in terms of the matrix. */
function ticks(nCells: number, nTogether: number, cellWidth: number): string {
  let line = "";
  for (let cell = 0; cell < nCells; cell += Math.ceil(TICK / cellWidth)) {
    line = `${padEnd(line, cell * cellWidth)}${cell * nTogether} `;
  }
  return line;
}

function legend(largest: number, isSigned: boolean, nTogether: number): string {
  const write = figures([largest, largest / 4]);
  const shades = [1, 2, 3, 4].map((quarter) => {
    const marks = isSigned ? `${POSITIVE[quarter]}/${NEGATIVE[quarter]}` : POSITIVE[quarter];
    return `${marks} ${isSigned ? "±" : ""}${write((largest * quarter) / 4)}`;
  });
  const together = nTogether === 1 ? "" : `   each column the largest of ${nTogether}`;
  return `${shades.join("  ")}${together}`;
}
