/** `L5.residMid` for `blocks.5.residMid`, as addresses may be written. */
export function shortPoint(point: string): string {
  return point.replace(/^blocks\.(\d+)\./, "L$1.");
}
