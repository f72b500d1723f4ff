/** Rows [from, to) of a weight, which are stored together. */
export interface StoredSegment {
  readonly from: number;
  readonly to: number;
  /** Which stored row holds each of them; in order where undefined. */
  readonly storedRows?: Int32Array;
}

/** All rows together, or in several segments, of which the last has them in reverse. */
export function segmentsOf(nRows: number, isScattered: boolean): StoredSegment[] {
  const cuts = isScattered ? [1 / 7, 1 / 3, 2 / 5, 5 / 6].map((part) => Math.floor(part * nRows)) : [];
  const ranges = [0, ...cuts].map((from, i) => ({ from, to: cuts[i] ?? nRows })).filter(({ from, to }) => to > from);
  return ranges.map(({ from, to }) => {
    const isReversed = isScattered && to === nRows;
    return {
      from,
      to,
      ...(isReversed && { storedRows: Int32Array.from({ length: to - from }, (_, i) => to - from - 1 - i) }),
    };
  });
}
