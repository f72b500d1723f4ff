/** Texts as a terminal shows them: how many columns they take, and how to keep them within some. */

import stringWidth from "string-width";

/** Columns that a text takes, without its colours and with wide characters as two. */
export const widthOf: (text: string) => number = stringWidth;

export function padEnd(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - widthOf(text)));
}

export function padStart(text: string, width: number): string {
  return " ".repeat(Math.max(0, width - widthOf(text))) + text;
}

/** What colours a text. */
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
  return width > 0 ? `${clipped}…` : clipped;
}

const segmenter = new Intl.Segmenter();

/** What a reader takes for single characters: a letter with its accents, a whole emoji. */
export function graphemes(text: string): string[] {
  return Array.from(segmenter.segment(text), ({ segment }) => segment);
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

/** Columns within a token's quotes; some vocabularies have tokens of a hundred spaces. */
const TOKEN_WIDTH = 20;

/** A token's text in quotes, with white space that can be told apart. */
export function quoteToken(text: string): string {
  return `"${clip(escapeInvisible(JSON.stringify(text).slice(1, -1)), TOKEN_WIDTH)}"`;
}

/** Control and format characters and all white space but the space, as their codes: the text stays on its line. */
export function escapeInvisible(text: string): string {
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
