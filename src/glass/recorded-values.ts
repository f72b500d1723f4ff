import { PointError } from "../errors.ts";
import type { CatalogEntry } from "../points/catalog.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Recorded } from "./recording.ts";

/** The recorded row of a point at each position. */
export function recordedRows(recorded: Recorded, entry: CatalogEntry, sequence: number, path: string) {
  const tensor = recordedTensor(recorded, entry, sequence, path);
  checkShape(tensor.shape.slice(1), entry.shape.slice(1) as number[], path);
  const start = recorded.start(entry.name, sequence);
  return (position: number): Tensor => {
    if (position < start || position >= start + tensor.shape[0]) {
      throw notRecorded(position, start, start + tensor.shape[0], path);
    }
    return tensor.row(position - start);
  };
}

/** The recorded scores or weights of all heads at each position, over the keys up to it. */
export function recordedKeys(recorded: Recorded, entry: CatalogEntry, sequence: number, path: string) {
  const tensor = recordedTensor(recorded, entry, sequence, path);
  const [nHeads, nRows, nKeys] = tensor.shape;
  checkShape([nHeads], [entry.shape[0] as number], path);
  const start = recorded.start(entry.name, sequence);
  return (position: number): Float64Array => {
    if (position < start || position >= start + nRows) throw notRecorded(position, start, start + nRows, path);
    const keys = new Float64Array(nHeads * (position + 1));
    for (let head = 0; head < nHeads; head++) {
      const from = (head * nRows + position - start) * nKeys;
      keys.set(tensor.data.subarray(from, from + position + 1), head * (position + 1));
    }
    return keys;
  };
}

/** The recorded row of one expert at each position whose token went to it. */
export function recordedOfExpert(recorded: Recorded, entry: CatalogEntry, sequence: number, path: string) {
  const tensor = recordedTensor(recorded, entry, sequence, path);
  checkShape(tensor.shape.slice(1), entry.shape.slice(1) as number[], path);
  const positions = recorded.positions?.(entry.name, { sequence }) ?? [];
  return (position: number): Tensor => {
    const row = positions.indexOf(position);
    if (row >= 0) return tensor.row(row);
    throw new PointError("point.edit", {
      path,
      expected: `the recorded token must have gone to expert ${entry.ofExpert?.expert}`,
      got: `position ${position}; it went there at ${positions.length === 0 ? "none" : positions.slice(0, 16).join(", ")}`,
      remedy: "Restrict the edit to such positions.",
    });
  };
}

function recordedTensor(recorded: Recorded, entry: CatalogEntry, sequence: number, path: string): Tensor {
  const { sequences } = recorded;
  const { name } = entry;
  checkRecorded(recorded, entry, path);
  if (sequences[sequence] === undefined) {
    const expected = `the recording has sequences 0 to ${sequences.length - 1}`;
    throw new PointError("point.edit", { path, expected, got: `${sequence}`, remedy: "Choose one of them." });
  }
  return recorded.get(name, { sequence });
}

export function recordedMean(recorded: Recorded, entry: CatalogEntry, path: string): Tensor {
  checkRecorded(recorded, entry, path);
  const mean = recorded.mean(entry.name);
  checkShape(mean.shape, entry.shape.slice(1) as number[], path);
  return mean;
}

function checkShape(found: readonly number[], wanted: readonly number[], path: string): void {
  if (found.length === wanted.length && found.every((size, i) => size === wanted[i])) return;
  throw new PointError("point.edit", {
    path,
    expected: `a recording of a model of the same sizes, here [${wanted.join(", ")}]`,
    got: `[${found.join(", ")}]`,
    remedy: "Record with this model.",
  });
}

function notRecorded(position: number, start: number, end: number, path: string): PointError {
  return new PointError("point.edit", {
    path,
    expected: `the recording has positions ${start} to ${end - 1}`,
    got: `position ${position}`,
    remedy: "Restrict the edit to them, as in @2:5, or record a longer text.",
  });
}

function checkRecorded({ points }: Recorded, { name, ofExpert }: CatalogEntry, path: string): void {
  if (points.includes(name)) return;
  throw new PointError("point.edit", {
    path,
    expected: `${name} must have been recorded`,
    got: `a recording of ${points.slice(0, 6).join(", ")}`,
    remedy: ofExpert === undefined ? `Record it: read: ["${name}"].` : `Take it from a run: read: ["${name}"].`,
  });
}
