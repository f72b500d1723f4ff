import { PointError } from "../errors.ts";

/** Which positions of a sequence: one, a half-open range, or all; negative ones count from the sequence's end. */
export type Positions = number | readonly [from: number, to: number] | "all";

/** A point or glob to read, and where. As text: `blocks.*.mlp.post`, `blocks.2.attn.z@7`, `**.residPost@2:5`. */
export type ReadSpec =
  | string
  | {
      readonly at: string;
      readonly positions?: Positions;
      /** What the point was before edits of the point itself; what it is after them unless asked otherwise. */
      readonly before?: boolean;
    };

export interface ParsedRead {
  readonly pattern: string;
  readonly positions: Positions;
  readonly before?: boolean;
}

export function parseRead(spec: ReadSpec): ParsedRead {
  if (typeof spec !== "string") return parseObject(spec);
  const at = spec.indexOf("@");
  if (at < 0 || spec.slice(at) === "@all") return { pattern: spec.replace("@all", ""), positions: "all" };
  const match = /^(-?\d+)(?::(-?\d+))?$/.exec(spec.slice(at + 1));
  if (match === null) {
    throw new PointError("point.positions", {
      path: spec,
      expected: "positions are written @7, @-1 or @2:5",
      got: spec.slice(at),
    });
  }
  const [, from, to] = match;
  return {
    pattern: spec.slice(0, at),
    positions: checked(to === undefined ? Number(from) : [Number(from), Number(to)], spec),
  };
}

function parseObject(spec: Exclude<ReadSpec, string>): ParsedRead {
  const { at, positions = "all", before = false, ...others } = Object(spec);
  if (typeof at === "string" && typeof before === "boolean" && Object.keys(others).length === 0) {
    return { pattern: at, positions: checked(positions, at), before };
  }
  throw new PointError("point.unknown", {
    path: "read",
    expected: "a read is a point's name or { at, positions, before }",
    got: JSON.stringify(spec),
  });
}

function checked(positions: Positions, path: string): Positions {
  if (positions === "all" || Number.isSafeInteger(positions)) return positions;
  if (Array.isArray(positions) && positions.length === 2 && positions.every(Number.isSafeInteger)) return positions;
  throw new PointError("point.positions", {
    path,
    expected: 'positions are a number, [from, to) or "all"',
    got: JSON.stringify(positions),
  });
}

/**
 * The positions as a half-open range of a sequence that ends before `end` and whose computed rows begin at `start`.
 * A range that reaches beyond is an error: what it asks for is not computed in this step.
 */
export function resolvePositions(positions: Positions, start: number, end: number, path: string): [number, number] {
  const absolute = (p: number): number => (p < 0 ? p + end : p);
  const [from, to] =
    positions === "all"
      ? [start, end]
      : typeof positions === "number"
        ? [absolute(positions), absolute(positions) + 1]
        : [absolute(positions[0]), absolute(positions[1])];
  if (from < start || to > end || from > to) {
    throw new PointError("point.positions", {
      path,
      expected: `positions must lie in the computed rows [${start}, ${end})`,
      got: JSON.stringify(positions),
      remedy: start > 0 ? "Positions that are already cached are not computed again." : undefined,
    });
  }
  return [from, to];
}
