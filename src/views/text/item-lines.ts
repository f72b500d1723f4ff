import { clip, widthOf } from "./width.ts";

/** All items, in order and none of them broken, in as many lines as it takes, with two spaces between them. */
export function itemLines(items: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const item of items) {
    const last = lines.at(-1);
    if (last === undefined || widthOf(last) + 2 + widthOf(item) > width) lines.push(clip(item, width));
    else lines[lines.length - 1] = `${last}  ${item}`;
  }
  return lines;
}
