/** A safetensors file as its tensors, and what may happen to one of them so that the file stays a right one. */

import fc from "fast-check";
import { DTYPE_SIZE_BYTES, type Dtype } from "../../src/tensor/dtype.ts";
import { numel } from "../../src/tensor/shape.ts";
import { concat, entry, safetensors, utf8 } from "../checkpoint-files.ts";
import type { Mutation } from "./bytes.ts";

export interface TensorPart {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export function takeApart(file: Uint8Array): TensorPart[] {
  const headerSizeBytes = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerSizeBytes)));
  const data = file.subarray(8 + headerSizeBytes);
  return Object.keys(header).flatMap((name): TensorPart[] => {
    if (name === "__metadata__") return [];
    const { dtype, shape, data_offsets: offsets } = header[name];
    return [{ name, dtype: dtype.toLowerCase(), shape, bytes: data.subarray(...(offsets as [number, number])) }];
  });
}

export function putTogether(tensors: readonly TensorPart[]): Uint8Array {
  let end = 0;
  const entries = tensors.map(({ name, dtype, shape, bytes }) => {
    const begin = end;
    end += bytes.length;
    return entry(name, dtype.toUpperCase(), [...shape], begin, end);
  });
  return concat(safetensors(utf8(`{${entries}}`)), ...tensors.map(({ bytes }) => bytes));
}

/** The tensor with another shape or type, and as many bytes as that needs: its own as far as they go. */
export function recast(tensor: TensorPart, change: Partial<Pick<TensorPart, "shape" | "dtype">>): TensorPart {
  const { shape, dtype } = { ...tensor, ...change };
  const bytes = new Uint8Array(numel(shape) * DTYPE_SIZE_BYTES[dtype]);
  bytes.set(tensor.bytes.subarray(0, bytes.length));
  return { ...tensor, shape, dtype, bytes };
}

/** One of its axes longer or shorter, turned round, or with an axis more or less. */
const reshaped = fc
  .tuple(fc.nat(), fc.constantFrom("longer", "shorter", "turned", "wrapped", "flat"))
  .map(([n, kind]) => (tensor: TensorPart) => {
    const { shape } = tensor;
    if (kind === "turned") return recast(tensor, { shape: shape.toReversed() });
    if (kind === "wrapped") return recast(tensor, { shape: [1, ...shape] });
    if (kind === "flat") return recast(tensor, { shape: [numel(shape)] });
    const axis = n % Math.max(1, shape.length);
    const size = Math.max(0, (shape[axis] ?? 1) + (kind === "longer" ? 1 : -1));
    return recast(tensor, { shape: shape.with(axis, size) });
  });

const retyped = fc
  .constantFrom<Dtype[]>("f32", "f16", "bf16", "u8", "f8_e4m3", "i32")
  .map((dtype) => (tensor: TensorPart) => recast(tensor, { dtype }));

/** One of its numbers another one: the tensor of another layer or expert. */
const renamed = fc.tuple(fc.nat(), fc.nat(9)).map(([which, by]) => (name: string): string => {
  const numbers = [...name.matchAll(/\d+/g)];
  const match = numbers[which % numbers.length];
  if (match === undefined) return `${name}.${by}`;
  return name.slice(0, match.index) + by + name.slice(match.index + match[0].length);
});

/** A tensor left out, with another shape, type or name, or there a second time under another name. */
export const tensorMutation: fc.Arbitrary<Mutation<readonly TensorPart[]>> = fc
  .tuple(fc.nat(), fc.constantFrom("drop", "shape", "type", "rename", "copy"), reshaped, retyped, renamed)
  .map(([n, kind, reshape, retype, rename]) => (tensors: readonly TensorPart[]) => {
    if (tensors.length === 0) return tensors;
    const at = n % tensors.length;
    const tensor = tensors[at] as TensorPart;
    if (kind === "drop") return tensors.toSpliced(at, 1);
    if (kind === "shape") return tensors.with(at, reshape(tensor));
    if (kind === "type") return tensors.with(at, retype(tensor));
    const other = { ...tensor, name: rename(tensor.name) };
    const rest = tensors.filter(({ name }, i) => name !== other.name && (kind === "copy" || i !== at));
    return [...rest, other];
  });
