/** GGUF files put together byte by byte, right or wrong, for tests of the reader. */

import { concat, utf8 } from "../checkpoint-files.ts";

export const u8 = (...values: number[]) => Uint8Array.from(values);
export const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
export const u64 = (value: number | bigint) => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
export const text = (value: string) => concat(u64(utf8(value).length), utf8(value));

/** Ids of the types of values. */
export const VALUE = { u8: 0, u16: 2, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10 } as const;
/** Ids of the types of tensors. */
export const TENSOR = { f32: 0, q8_0: 8, iq2_xs: 17 } as const;

/** One key of the metadata; `bytes` are those of the value. */
export function value(key: string, type: number, bytes: Uint8Array): Uint8Array {
  return concat(text(key), u32(type), bytes);
}

/** The entry of a tensor, its sizes innermost first, as they stand in the file. */
export function tensor(
  name: string,
  sizes: readonly (number | bigint)[],
  type: number,
  offset: number | bigint,
): Uint8Array {
  return concat(text(name), u32(sizes.length), ...sizes.map(u64), u32(type), u64(offset));
}

interface Parts {
  readonly magic?: string;
  readonly version?: number;
  readonly nTensors?: number | bigint;
  readonly nValues?: number | bigint;
  readonly values?: readonly Uint8Array[];
  readonly tensors?: readonly Uint8Array[];
  readonly alignment?: number;
  readonly nDataBytes?: number;
}

/** A file from its entries, with `nDataBytes` bytes 1, 2, 3 and so on behind the header. */
export function ggufFile(parts: Parts): Uint8Array<ArrayBuffer> {
  const { magic = "GGUF", version = 3, values = [], tensors = [], alignment = 32, nDataBytes = 0 } = parts;
  const { nTensors = tensors.length, nValues = values.length } = parts;
  const header = concat(utf8(magic), u32(version), u64(nTensors), u64(nValues), ...values, ...tensors);
  const padding = new Uint8Array(-header.length & (alignment - 1));
  return concat(
    header,
    padding,
    Uint8Array.from({ length: nDataBytes }, (_, i) => i + 1),
  );
}
