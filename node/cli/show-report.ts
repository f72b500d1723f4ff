import type { Report } from "../index.ts";
import { paint, terminalWidth } from "./terminal.ts";

/** A token's text, as views quote it. */
const QUOTED = /"(?:[^"\\]|\\.)*"/g;

/** Prints a view's result: as one line of JSON, or as its own text with light colour. */
export function showReport(report: Report<object>, json: boolean | undefined): void {
  const text = json ? JSON.stringify(report) : paintReport(report.toString({ width: terminalWidth() }));
  process.stdout.write(`${text}\n`);
}

/** The first line of each paragraph in bold, tokens as everywhere. */
export function paintReport(text: string): string {
  const lines = text.split("\n");
  return lines
    .map((line, i) => {
      if (line === "") return line;
      if (i === 0 || lines[i - 1] === "") return paint("bold", line);
      return line.replaceAll(QUOTED, (token) => paint("cyan", token));
    })
    .join("\n");
}
