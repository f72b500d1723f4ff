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

/** What `paint` puts around a text. */
const COLOR_CODE = new RegExp(`(${String.fromCharCode(27)}\\[[\\d;]*m)`);

/** A text, coloured or not, cut at `width` columns; the cut shows as an ellipsis. */
export function clip(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let left = width - 1;
  let clipped = "";
  for (const [i, part] of text.split(COLOR_CODE).entries()) {
    const isColor = i % 2 === 1;
    for (const piece of isColor ? [part] : graphemes(part)) {
      left -= isColor ? 0 : widthOf(piece);
      if (isColor || left >= 0) clipped += piece;
    }
  }
  return `${clipped}…`;
}

/** What a reader takes for single characters: a letter with its accents, a whole emoji. */
function graphemes(text: string): string[] {
  return Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
}

/** As many items, in order, as fit into `width` with two spaces between them; of the first one at least a part. */
export function asManyAsFit(items: readonly string[], width: number): string {
  let line = clip(items[0] ?? "", width);
  for (const item of items.slice(1)) {
    if (widthOf(line) + 2 + widthOf(item) > width) break;
    line += `  ${item}`;
  }
  return line;
}

/** A horizontal bar of `share` (0 to 1; none for NaN) of `width` columns, in eighths of a column. */
export function bar(share: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share || 0)) * width * 8);
  return "█".repeat(Math.floor(eighths / 8)) + (eighths % 8 === 0 ? "" : "▏▎▍▌▋▊▉"[(eighths % 8) - 1]);
}

/** Columns within a token's quotes; some vocabularies have tokens of a hundred spaces. */
const TOKEN_WIDTH = 20;

/** A token's text in quotes, with white space that can be told apart. */
export function quoteToken(text: string): string {
  return `"${clip(escapeInvisible(JSON.stringify(text).slice(1, -1)), TOKEN_WIDTH)}"`;
}

/** A text as a terminal may show it: its own line breaks, no tabs, and nothing that would steer the terminal. */
export function printable(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replaceAll("\t", "    ")
    .split("\n")
    .map((line) => line.replaceAll(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, escapeCode))
    .join("\n");
}

/** Control and format characters and all white space but the space, as their codes. */
function escapeInvisible(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, escapeCode);
}

function escapeCode(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
}

/** Breaks a text into lines of at most `width` columns, at spaces where there are some; keeps its line breaks. */
export function wrap(text: string, width: number): string {
  return text
    .split("\n")
    .flatMap((line) => wrapLine(line, width))
    .join("\n");
}

function wrapLine(text: string, width: number): string[] {
  const words = text.split(/(?<= )/);
  const lines: string[] = [];
  let line = "";
  for (const piece of words.flatMap((word) => (widthOf(word.trimEnd()) > width ? graphemes(word) : [word]))) {
    if (line !== "" && widthOf((line + piece).trimEnd()) > width) {
      lines.push(line.trimEnd());
      line = "";
    }
    line += piece;
  }
  return [...lines, line.trimEnd()];
}

/** A label, and beside it a text that is wrapped to what `width` leaves. */
export function labelled(label: string, text: string, labelWidth: number, width: number): string {
  const lines = wrap(text, width - labelWidth).split("\n");
  return lines.map((line, i) => padEnd(i === 0 ? label : "", labelWidth) + line).join("\n");
}
