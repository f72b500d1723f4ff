import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { RequestError } from "../errors.ts";
import { type ComputeFormat, encodeRows } from "../tensor/format.ts";
import type { Binding } from "../weights/bind.ts";
import { adjacentPairs, type Part, type WeightSpec } from "../weights/schema.ts";
import { type Cells, runs, WeightReader } from "./weight-reader.ts";

/** A weight where the source has it, and where the target wants it. */
interface Move {
  readonly from: Binding;
  readonly to: Part;
}

/** A tensor of the target, put together from the weights that lie in it. */
export interface TargetTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** How the source stores it; undefined where that differs from weight to weight. */
  readonly stored: ComputeFormat | undefined;
  /** In the order of their rows. */
  readonly moves: readonly Move[];
}

/** The tensors that these weights make, in the order in which the architecture declares them. */
export function targetTensors(
  specs: ReadonlyMap<string, WeightSpec>,
  bindings: ReadonlyMap<string, Binding>,
  partOf: (name: string, spec: WeightSpec) => Part,
): TargetTensor[] {
  const byTensor = new Map<string, Move[]>();
  for (const [name, spec] of specs) {
    const from = bindings.get(name);
    // An unembedding that is tied to the embedding has no bytes of its own.
    if (from === undefined) continue;
    const to = partOf(name, spec);
    byTensor.set(to.tensor, [...(byTensor.get(to.tensor) ?? []), { from, to }]);
  }
  return Array.from(byTensor, ([name, moves]) => assembled(name, moves));
}

function assembled(name: string, found: readonly Move[]): TargetTensor {
  const moves = found.toSorted((a, b) => (a.to.rows?.[0] ?? 0) - (b.to.rows?.[0] ?? 0));
  const [{ from, to }] = moves;
  const nRows = moves.reduce((sum, move) => sum + move.from.shape[0], 0);
  const shape = [nRows, ...from.shape.slice(1)];
  return {
    name,
    shape: to.transposed ? shape.toReversed() : shape,
    stored: moves.every((move) => move.from.dtype === from.dtype) ? from.dtype : undefined,
    moves,
  };
}

/**
 * The tensor's bytes in a type, piece by piece in its own order. Where the source stores that type, every bit is kept.
 * @throws RequestError where a number does not fit the type.
 */
export async function* tensorBytes(
  tensor: TargetTensor,
  type: ComputeFormat,
  checkpoint: Checkpoint,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const cellsOf = tensor.moves[0].to.transposed ? columnsOf : rowsOf;
  for await (const cells of cellsOf(tensor, checkpoint, tensor.stored === type)) {
    yield cells instanceof Float32Array
      ? encoded(cells, type, tensor.name)
      : new Uint8Array(cells.buffer, cells.byteOffset, cells.byteLength);
  }
}

async function* rowsOf({ moves }: TargetTensor, checkpoint: Checkpoint, asStored: boolean): AsyncGenerator<Cells> {
  for (const { from, to } of moves) {
    const reader = new WeightReader(from, checkpoint, asStored);
    const order = to.pairedHeads === undefined ? undefined : inverse(adjacentPairs(reader.nRows, to.pairedHeads));
    for (const places of runs(reader.nRows, reader.rowsAtOnce)) {
      yield reader.rows(order === undefined ? places : places.map((place) => order[place]));
    }
  }
}

/** Rows of a transposed tensor: one column of each weight, side by side. */
async function* columnsOf(
  { moves, shape }: TargetTensor,
  checkpoint: Checkpoint,
  asStored: boolean,
): AsyncGenerator<Cells> {
  const [nIn, nOut] = shape;
  const readers = moves.map(({ from }) => new WeightReader(from, checkpoint, asStored));
  const nAtOnce = Math.min(...readers.map(({ columnsAtOnce }) => columnsAtOnce));
  for (let from = 0; from < nIn; from += nAtOnce) {
    const to = Math.min(nIn, from + nAtOnce);
    const cells = readers[0].cells((to - from) * nOut);
    let at = 0;
    for (const reader of readers) {
      await reader.columns(from, to, cells, at, nOut);
      at += reader.nRows;
    }
    yield cells;
  }
}

function inverse(order: Int32Array): Int32Array {
  const result = new Int32Array(order.length);
  for (const [i, place] of order.entries()) result[place] = i;
  return result;
}

/** From where on rounding gives an infinity. */
const OVERFLOW: Partial<Record<ComputeFormat, number>> = { f16: 65_520, bf16: 2 ** 128 - 2 ** 119 };

function encoded(numbers: Float32Array, type: ComputeFormat, name: string): Uint8Array<ArrayBuffer> {
  const limit = OVERFLOW[type];
  const outside = limit === undefined ? undefined : firstBeyond(numbers, limit);
  if (outside === undefined) return encodeRows(type, numbers, `convert: ${name}`);
  throw new RequestError("request.option", {
    path: `convert: ${name}`,
    expected: `every number must fit ${type}, whose largest is ${type === "f16" ? 65_504 : "3.39e38"}`,
    got: `${outside}`,
    remedy: `Convert to ${type === "f16" ? "bf16 or f32" : "f32"}.`,
  });
}

/** A plain loop, since it sees every weight. */
function firstBeyond(numbers: Float32Array, limit: number): number | undefined {
  for (let i = 0; i < numbers.length; i++) {
    if (Math.abs(numbers[i]) >= limit && Number.isFinite(numbers[i])) return numbers[i];
  }
  return undefined;
}
