import type { StepOutput } from "../backends/contract.ts";
import { PointError } from "../errors.ts";
import type { CallGap } from "../glass/apply-edits.ts";
import type { EditSlot } from "../glass/edit.ts";
import type { Ragged } from "../glass/ragged.ts";
import type { Rows } from "../tape/rows.ts";
import type { FloatArray } from "../tensor/dtype.ts";
import { formatShape, numel, sameShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { activeRows, type EditedRows } from "./edit-inputs.ts";
import { gatherPairs, spreadPairs } from "./pairs.ts";

/** Where a step stands when a function is called. */
interface Stopped {
  readonly slots: readonly EditSlot[];
  readonly rows: Rows;
  readonly sequences: readonly (EditedRows & { readonly tokens: readonly number[] })[];
  readonly logitRows: Int32Array;
  /** Runs a function of the caller while others may use the engine. */
  readonly aside: <T>(call: () => T | Promise<T>) => Promise<T>;
}

/** Calls the functions of a gap, each with the rows that it is to change, and gives the value with what they made of it. */
export async function closeGap(
  gap: CallGap,
  before: StepOutput,
  ragged: Ragged | undefined,
  stopped: Stopped,
): Promise<FloatArray> {
  const data = before.data.slice() as FloatArray;
  for (const slot of gap.slots) {
    const { entry } = stopped.slots[slot];
    const wanted = entry.shape[0] === "R" ? stopped.logitRows : undefined;
    const active = activeRows(slot, stopped.rows, stopped.sequences, wanted);
    for (const [sequence, { tokens }] of stopped.sequences.entries()) {
      const own = active.filter((row) => row.sequence === sequence);
      const call = own[0]?.edit.call;
      if (call === undefined) continue;
      const positions = own.map(({ position }) => position);
      const rowIndices = own.map(({ row }) => row);
      const piece =
        ragged === undefined
          ? rowsAt(data, before.shape, rowIndices)
          : pairsAt(data, before.shape, own, stopped.rows, ragged);
      const context = { point: entry.name, sequence, positions, tokens };
      const result = await stopped.aside(() => call(piece.value, context));
      piece.put(checked(result ?? piece.value, piece.value, own[0].edit.text));
    }
  }
  return data;
}

interface Piece {
  readonly value: Tensor;
  put(value: Tensor): void;
}

/** Copies of chosen rows, [n, ...]. */
function rowsAt(data: FloatArray, shape: readonly number[], indices: readonly number[]): Piece {
  const rest = shape.slice(1);
  const width = numel(rest);
  const value = new (data.constructor as Float32ArrayConstructor)(indices.length * width);
  for (const [i, row] of indices.entries()) value.set(data.subarray(row * width, (row + 1) * width), i * width);
  return {
    value: new Tensor([indices.length, ...rest], value),
    put(changed) {
      for (const [i, row] of indices.entries()) data.set(changed.row(i).data, row * width);
    },
  };
}

/** Copies of the scores or weights of consecutive rows, dense: [nHeads, n, S]. */
function pairsAt(
  data: FloatArray,
  [nHeads, nPairs]: readonly number[],
  rows: readonly { readonly row: number; readonly position: number }[],
  step: Rows,
  { window }: Ragged,
): Piece {
  const visible = step.visible(window);
  const { row: firstRow, position: from } = rows[0];
  const at = { firstRow, from, nRows: rows.length, firstPair: visible.offset[firstRow], nHeads, nPairs };
  return {
    value: spreadPairs(data, at, visible, 0),
    put: (changed) => gatherPairs(changed, data, at, visible),
  };
}

function checked(result: unknown, given: Tensor, path: string): Tensor {
  const { shape, data } = Object(result);
  if (Array.isArray(shape) && sameShape(shape, given.shape) && ArrayBuffer.isView(data)) return result as Tensor;
  throw new PointError("point.edit", {
    path,
    expected: `the function gives a tensor ${formatShape(given.shape)} like the one it was given, or nothing`,
    got: Array.isArray(shape) ? formatShape(shape) : typeof result,
    remedy: "Change the given tensor in place and return nothing, or return new Tensor(shape, data).",
  });
}
