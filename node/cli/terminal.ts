import { styleText } from "node:util";
import { padEnd, wrap } from "../index.ts";

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

/** A text as a terminal may show it: its own line breaks, no tabs, and nothing that would steer the terminal. */
export function printable(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replaceAll("\t", "    ")
    .split("\n")
    .map((line) => line.replaceAll(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, escapeCode))
    .join("\n");
}

function escapeCode(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
}

/** A label, and beside it a text that is wrapped to what `width` leaves. */
export function labelled(label: string, text: string, labelWidth: number, width: number): string {
  const lines = wrap(text, width - labelWidth).split("\n");
  return lines.map((line, i) => padEnd(i === 0 ? label : "", labelWidth) + line).join("\n");
}
