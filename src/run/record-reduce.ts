import { PointError } from "../errors.ts";
import type { Derived, GlassScope, Read } from "../glass/plan.ts";
import { add, meanRows, mergeHeads, mul, selectRows, splitHeads, topRows } from "../ops/index.ts";
import { sourcesOf } from "../points/derive.ts";
import { atLayer } from "../points/names.ts";
import { resolvePositions } from "../points/read-spec.ts";
import { constant } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { numel } from "../tensor/shape.ts";
import { LargestRows, type Place } from "./record-largest.ts";
import { MomentSums } from "./record-moments.ts";
import { firstRows, type RecordedPoint, type RecordingPlan, type Reduce, reducedTensor } from "./recording-layout.ts";
import type { Run } from "./result.ts";
import type { RecordingTarget } from "./write-recording.ts";

/** Takes in what steps give, one after another. */
export interface Collector {
  /** What is computed on the tape; undefined where points themselves are read. */
  readonly derived: Derived | undefined;
  /** The next step; its sequences follow those of the steps before. */
  add(run: Run): void | Promise<void>;
  /** After the last step. */
  finish(): Promise<void>;
}

/**
 * Reduces the rows of each step on the tape, what steps gave to one result, and puts that in its place.
 * @throws PointError for a point whose rows do not have one shape.
 */
export function reductionOf(
  { reduce, points, sequences }: RecordingPlan & { readonly reduce: Reduce },
  reads: readonly Read[],
  target: RecordingTarget,
): Collector {
  const ragged = points.find(({ isOverKeys }) => isOverKeys);
  if (ragged !== undefined) {
    throw new PointError("point.absent", {
      path: ragged.name,
      expected: "only points whose rows have one shape can be reduced",
      got: "as many keys as each sequence has",
      remedy: "Record it without reduce.",
    });
  }
  if (typeof reduce === "string") return moments(reduce, reads, points, target);
  const counts = points.map((point) => Math.min(reduce.topK, firstRows(point, sequences).at(-1) as number));
  return extremes(counts, reads, points, target);
}

function moments(
  reduce: "mean" | "variance",
  reads: readonly Read[],
  points: readonly RecordedPoint[],
  target: RecordingTarget,
): Collector {
  const sums = points.map(({ rowShape }) => new MomentSums(numel(rowShape)));
  return {
    derived: derivedOf("moments", reads, (x, i) => {
      const minus = constant("−1", Float64Array.of(-1), []);
      const mean = meanRows(x); // [1, width]
      // As heads, of which there is one, the rows have the mean's shape.
      const rows = splitHeads(x, { nHeads: 1, headDim: x.shape[1] as number }); // [n, 1, width]
      const centred = add(rows, mul(mean, minus));
      // The mean is rounded to float32: what is left of it in the centred rows is small, and so hardly rounded.
      return {
        [`mean ${i}`]: mean,
        [`offset ${i}`]: meanRows(centred),
        [`square ${i}`]: meanRows(mul(centred, centred)),
      };
    }),
    add(run) {
      for (const [i, sum] of sums.entries()) {
        const [mean, offset, square] = ["mean", "offset", "square"].map((name) => run.derived(`${name} ${i}`).data);
        sum.add(nRowsOf(run, points[i]), mean, offset, square);
      }
    },
    async finish() {
      for (const [i, { name, rowShape }] of points.entries()) {
        const { mean, variance } = sums[i].moments(rowShape);
        await target.put(reducedTensor(name, "mean"), 0, mean.data);
        if (reduce === "variance") await target.put(reducedTensor(name, "variance"), 0, variance.data);
      }
    },
  };
}

/** `counts`: of each point how many rows are kept. */
function extremes(
  counts: readonly number[],
  reads: readonly Read[],
  points: readonly RecordedPoint[],
  target: RecordingTarget,
): Collector {
  const kept = points.map(({ rowShape }, i) => new LargestRows(counts[i], numel(rowShape)));
  let nSequences = 0;
  return {
    derived: derivedOf(`top ${counts}`, reads, (x, i) => {
      const [values, rows] = topRows(x, { k: counts[i] });
      return { [`values ${i}`]: values, [`rows ${i}`]: rows };
    }),
    add(run) {
      for (const [i, largest] of kept.entries()) {
        const places = placesOf(run, points[i], nSequences);
        largest.add(run.derived(`values ${i}`).data, run.derived(`rows ${i}`).data, places);
      }
      nSequences += run.sequences.length;
    },
    async finish() {
      for (const [i, { name }] of points.entries()) {
        const { values, sequences, positions } = kept[i];
        await target.put(reducedTensor(name, "top"), 0, values);
        await target.put(reducedTensor(name, "top.sequence"), 0, sequences);
        await target.put(reducedTensor(name, "top.position"), 0, positions);
      }
    },
  };
}

/** What `build` makes of the rows [n, width] of each point that are read. */
function derivedOf(
  key: string,
  reads: readonly Read[],
  build: (x: Value, index: number) => Readonly<Record<string, Value>>,
): Derived {
  return {
    key: `${key} ${JSON.stringify(reads.map(({ entry, positions }) => [entry.name, positions]))}`,
    points: reads.flatMap(({ entry }) => sourcesOf(entry.row, entry.layer)),
    build: (scope) => Object.assign({}, ...reads.map((read, i) => build(flatRows(scope, read), i))),
  };
}

function flatRows(scope: GlassScope, { entry, positions }: Read): Value {
  const { row, layer, name } = entry;
  const whole =
    row.derive?.build(
      (point) => scope.at(atLayer(point, layer)),
      (weight) => scope.weight(atLayer(weight, layer)),
    ) ?? scope.at(name);
  const rows = positions === "all" ? whole : selectRows(whole, scope.rowsAt(positions));
  return rows.shape.length === 3 ? mergeHeads(rows) : rows;
}

function nRowsOf(run: Run, { positions, name }: RecordedPoint): number {
  return run.sequences.reduce((sum, { start, end }) => {
    const [from, to] = resolvePositions(positions, start, end, name);
    return sum + to - from;
  }, 0);
}

function placesOf(run: Run, { positions, name }: RecordedPoint, firstSequence: number): Place[] {
  return run.sequences.flatMap(({ start, end }, s) => {
    const [from, to] = resolvePositions(positions, start, end, name);
    return Array.from({ length: to - from }, (_, i) => ({ sequence: firstSequence + s, position: from + i }));
  });
}
