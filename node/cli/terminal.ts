import { styleText } from "node:util";
import stringWidth from "string-width";

/** A name that `styleText` knows, or several. */
export type Style = Parameters<typeof styleText>[0];

/** Colours a text for stdout; plain where NO_COLOR is set or stdout is no terminal. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/** Columns to fill: the terminal's, between 40 and 200; 80 where stdout is no terminal. COLUMNS overrides it. */
export function terminalWidth(): number {
  const given = Number.parseInt(process.env.COLUMNS ?? "", 10);
  const width = Number.isNaN(given) ? (process.stdout.columns ?? 80) : given;
  return Math.min(200, Math.max(40, width));
}

/** Columns that a text takes, without its colours and with wide characters as two. */
export const widthOf = stringWidth;

export function padEnd(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - widthOf(text)));
}

export function padStart(text: string, width: number): string {
  return " ".repeat(Math.max(0, width - widthOf(text))) + text;
}

/** As many items, in order, as fit into `width` with two spaces between them; at least one. */
export function asManyAsFit(items: readonly string[], width: number): string {
  let line = items[0] ?? "";
  for (const item of items.slice(1)) {
    if (widthOf(line) + 2 + widthOf(item) > width) break;
    line += `  ${item}`;
  }
  return line;
}

/** A horizontal bar of `share` (0 to 1) of `width` columns, in eighths of a column. */
export function bar(share: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  return "█".repeat(Math.floor(eighths / 8)) + (eighths % 8 === 0 ? "" : "▏▎▍▌▋▊▉"[(eighths % 8) - 1]);
}

/** A token's text in quotes, with white space that can be told apart. */
export function quoteToken(text: string): string {
  return JSON.stringify(text);
}

/** Breaks a text at spaces into lines of at most `width` columns (longer words stay whole); keeps its line breaks. */
export function wrap(text: string, width: number): string {
  return text
    .split("\n")
    .flatMap((line) => wrapLine(line, width))
    .join("\n");
}

function wrapLine(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/(?<= )/)) {
    if (line !== "" && widthOf((line + word).trimEnd()) > width) {
      lines.push(line.trimEnd());
      line = "";
    }
    line += word;
  }
  return [...lines, line.trimEnd()];
}
