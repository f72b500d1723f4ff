import { figures } from "./figures.ts";
import { clip, escapeInvisible, padEnd, padStart, widthOf } from "./width.ts";

/** Text, a number, or nothing to show. */
export type Cell = string | number | null | undefined;

export interface TableOptions {
  /** A column's name each; no line of names where undefined. */
  readonly head?: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  /** By column; numbers stand to the right and text to the left where undefined. */
  readonly align?: readonly ("left" | "right" | undefined)[];
  readonly width: number;
}

const GAP = 2;
/** A column of text that is too wide shrinks to no less. */
const MIN_TEXT_WIDTH = 6;

/**
 * A table in lines of at most `width` columns. Numbers of a column have equal decimals; text is cut, the widest column
 * first, where it does not fit. Control characters show as their codes.
 */
export function table({ head, rows, align = [], width }: TableOptions): string {
  const nColumns = Math.max(head?.length ?? 0, ...rows.map((row) => row.length));
  const columns = Array.from({ length: nColumns }, (_, i) => {
    const cells = rows.map((row) => row[i]);
    const isNumeric = cells.every((cell) => typeof cell !== "string");
    return {
      cells: column(cells),
      isText: !isNumeric,
      right: (align[i] ?? (isNumeric ? "right" : "left")) === "right",
    };
  });
  if (head !== undefined) for (const [i, { cells }] of columns.entries()) cells.unshift(escapeInvisible(head[i] ?? ""));
  const widths = fitted(
    columns.map(({ cells }) => cells.reduce((max, cell) => Math.max(max, widthOf(cell)), 0)),
    columns.map(({ isText }) => isText),
    width - GAP * (nColumns - 1),
  );
  return Array.from({ length: rows.length + (head === undefined ? 0 : 1) }, (_, line) => {
    const parts = columns.map(({ cells, right }, i) => {
      const text = clip(cells[line], widths[i]);
      return right ? padStart(text, widths[i]) : padEnd(text, widths[i]);
    });
    return clip(parts.join(" ".repeat(GAP)).trimEnd(), width);
  }).join("\n");
}

function column(cells: readonly Cell[]): string[] {
  const write = figures(cells.filter((cell) => typeof cell === "number"));
  return cells.map((cell) => {
    if (typeof cell === "number") return write(cell);
    return cell === null || cell === undefined ? "–" : escapeInvisible(cell);
  });
}

/** Column widths that add up to `total` at most, where cutting text can bring that about. */
function fitted(natural: readonly number[], isText: readonly boolean[], total: number): number[] {
  const widths = [...natural];
  let excess = widths.reduce((sum, width) => sum + width, 0) - total;
  while (excess > 0) {
    const widest = widths.reduce((best, width, i) => (isText[i] && width > (widths[best] ?? 0) ? i : best), -1);
    if (widest < 0 || widths[widest] <= MIN_TEXT_WIDTH) break;
    widths[widest]--;
    excess--;
  }
  return widths;
}
