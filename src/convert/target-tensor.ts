import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { RequestError } from "../errors.ts";
import { encodeRows, isBlockFormat, isPlainFormat, type PlainFormat } from "../tensor/format.ts";
import type { Binding } from "../weights/bind.ts";
import { adjacentPairs, type Layout, type WeightSpec } from "../weights/schema.ts";
import { type Share, type SharedTensor, sharedTensors } from "./shares.ts";
import { type Cells, VectorRows, WeightReader, type WeightRows } from "./weight-reader.ts";

/** A tensor of the target, put together from the weights that lie in it. */
export interface TargetTensor extends SharedTensor {
  /** The type in which the target can have what the source stores; undefined where there is none. */
  readonly stored: PlainFormat | undefined;
}

/** The tensors that these weights make, in the order in which the architecture declares them. */
export function targetTensors(
  specs: ReadonlyMap<string, WeightSpec>,
  bindings: ReadonlyMap<string, Binding>,
  layoutOf: (name: string, spec: WeightSpec) => Layout,
): TargetTensor[] {
  const moves = [...specs].flatMap(([name, spec]) => {
    const from = bindings.get(name);
    // An unembedding that is tied to the embedding has no bytes of its own.
    return from === undefined ? [] : [{ from, to: layoutOf(name, spec) }];
  });
  return sharedTensors(moves).map((tensor) => ({ ...tensor, stored: storedType(tensor) }));
}

function storedType({ shares, transposed }: SharedTensor): PlainFormat | undefined {
  const [{ from }] = shares;
  const isOneType = shares.every((share) => share.from.dtype === from.dtype);
  const type = from.dtype === "mxfp4_split" ? "mxfp4" : from.dtype;
  if (!isOneType || !isPlainFormat(type)) return undefined;
  // Blocks lie along the stored rows, and are not taken apart.
  const isTurned = transposed || shares.some((share) => share.from.transposed);
  return isBlockFormat(type) && isTurned ? undefined : type;
}

/**
 * The tensor's bytes in a type, piece by piece in its own order. Where the source stores that type, every bit is kept.
 * @throws RequestError where a number does not fit the type.
 */
export async function* tensorBytes(
  tensor: TargetTensor,
  type: PlainFormat,
  checkpoint: Checkpoint,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const cellsOf = tensor.transposed ? columnsOf : rowsOf;
  for await (const cells of cellsOf(tensor, checkpoint, type)) {
    yield cells instanceof Float32Array
      ? encoded(cells, type, tensor.name)
      : new Uint8Array(cells.buffer, cells.byteOffset, cells.byteLength);
  }
}

/** Whether all shares can be copied as the source stores them. */
function isKept({ shares, stored }: TargetTensor, type: PlainFormat): boolean {
  return stored === type && shares.every(({ from, to }) => from.offset === offsetOf(to)) && !shares.some(isRegrouped);
}

function offsetOf({ offset = 0 }: Layout): number {
  return offset;
}

/** Whether the source has the numbers of a stack of vectors in other rows. */
function isRegrouped({ from, rowLength }: Share): boolean {
  return from.rowLength !== rowLength;
}

/** Rows of a tensor in their order, from whichever weights they are. */
async function* rowsOf(tensor: TargetTensor, checkpoint: Checkpoint, type: PlainFormat): AsyncGenerator<Cells> {
  const { shares } = tensor;
  const readers = new Map<Binding, WeightRows>();
  for (const share of shares) {
    const { from, to, rowLength } = share;
    if (readers.has(from)) continue;
    const options = { isKept: isKept(tensor, type), subtracted: offsetOf(to) };
    const reader = isRegrouped(share)
      ? await VectorRows.read(from, checkpoint, rowLength, options)
      : new WeightReader(from, checkpoint, options);
    readers.set(from, reader);
  }
  const readerOf = (share: Share): WeightRows => readers.get(share.from) as WeightRows;
  const nRows = shares.reduce((sum, share) => sum + share.nRows, 0);
  const nAtOnce = Math.min(...new Set(shares.map(readerOf).map((reader) => reader.rowsAtOnce)));
  for (let from = 0; from < nRows; from += nAtOnce) {
    const to = Math.min(nRows, from + nAtOnce);
    const parts = shares.map((share) => partIn(share, from, to)).filter(({ rows }) => rows.length > 0);
    const [{ share, rows }] = parts;
    // As they are, where one weight has them all.
    if (rows.length === to - from) yield await readerOf(share).rows(rows);
    else yield await gathered(parts, from, to, readerOf);
  }
}

interface SharePart {
  readonly share: Share;
  /** Of the weight. */
  readonly rows: Int32Array;
  /** Row of the tensor that is the first of them. */
  readonly at: number;
}

/** What of a share lies in rows `from` to `to - 1` of the tensor. */
function partIn(share: Share, from: number, to: number): SharePart {
  const { at, step, nRows, firstRow } = share;
  const first = Math.max(0, Math.ceil((from - at) / step));
  const end = Math.min(nRows, Math.ceil((to - at) / step));
  const rows = Int32Array.from({ length: Math.max(0, end - first) }, (_, i) => firstRow + first + i);
  const order = orderOf(share);
  return { share, rows: order === undefined ? rows : rows.map((row) => order[row]), at: at + first * step };
}

async function gathered(parts: readonly SharePart[], from: number, to: number, readerOf: (s: Share) => WeightRows) {
  const { nColumns } = readerOf(parts[0].share);
  const out = readerOf(parts[0].share).cells((to - from) * nColumns);
  for (const { share, rows, at } of parts) {
    const cells = await readerOf(share).rows(rows);
    for (let i = 0; i < rows.length; i++) {
      out.set(cells.subarray(i * nColumns, (i + 1) * nColumns), (at + i * share.step - from) * nColumns);
    }
  }
  return out;
}

const orders = new WeakMap<Layout, Int32Array>();

/** For each row of the tensor which row of the weight it is, where heads are paired. */
function orderOf({ from, to }: Share): Int32Array | undefined {
  if (to.pairedHeads === undefined) return undefined;
  const order = orders.get(to) ?? inverse(adjacentPairs(from.shape[0], to.pairedHeads));
  orders.set(to, order);
  return order;
}

/** Rows of a transposed tensor: one column of each weight, side by side; matrix by matrix. */
async function* columnsOf(tensor: TargetTensor, checkpoint: Checkpoint, type: PlainFormat): AsyncGenerator<Cells> {
  const options = (share: Share) => ({ isKept: isKept(tensor, type), subtracted: offsetOf(share.to) });
  const readers = new Map(
    tensor.shares.map((share) => [share.from, new WeightReader(share.from, checkpoint, options(share))]),
  );
  const readerOf = (share: Share): WeightReader => readers.get(share.from) as WeightReader;
  const [nIn, nOut] = tensor.shape.slice(-2);
  const nMatrices = tensor.shape.length > 2 ? tensor.shape[0] : 1;
  for (let matrix = 0; matrix < nMatrices; matrix++) {
    const shares = tensor.shares.filter((share) => share.matrix === matrix);
    const nAtOnce = Math.min(...shares.map((share) => readerOf(share).columnsAtOnce(share.nRows)));
    for (let from = 0; from < nIn; from += nAtOnce) {
      const to = Math.min(nIn, from + nAtOnce);
      const cells = readerOf(shares[0]).cells((to - from) * nOut);
      for (const share of shares) await readerOf(share).columns([from, to], share, cells, nOut);
      yield cells;
    }
  }
}

function inverse(order: Int32Array): Int32Array {
  const result = new Int32Array(order.length);
  for (const [i, place] of order.entries()) result[place] = i;
  return result;
}

/** From where on rounding gives an infinity. */
const OVERFLOW: Partial<Record<PlainFormat, number>> = { f16: 65_520, bf16: 2 ** 128 - 2 ** 119 };

function encoded(numbers: Float32Array, type: PlainFormat, name: string): Uint8Array<ArrayBuffer> {
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
