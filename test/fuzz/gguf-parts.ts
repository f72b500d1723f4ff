/** A GGUF file taken apart into its fields, so that each can be made wrong while the others stay right. */

import { concat, utf8 } from "../checkpoint-files.ts";
import { u32, u64 } from "../support/gguf-files.ts";

export interface ValuePart {
  readonly key: Uint8Array;
  /** The type and what follows it. */
  readonly rest: Uint8Array;
}

export interface TensorPart {
  readonly name: Uint8Array;
  readonly sizes: readonly bigint[];
  readonly type: number;
  readonly offset: bigint;
}

export interface GgufParts {
  readonly version: number;
  /** What the header says more than there is. */
  readonly nTensorsMore: bigint;
  readonly nValuesMore: bigint;
  readonly values: readonly ValuePart[];
  readonly tensors: readonly TensorPart[];
  readonly alignment: number;
  readonly data: Uint8Array;
}

/** Bytes of a value by the id of its type; 0 for text and arrays. */
const VALUE_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const [TEXT, ARRAY] = [8, 9];

/** Takes apart a file that is right, and aligned to 32 bytes. */
export function takeApart(bytes: Uint8Array): GgufParts {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 24;
  const take = (length: number) => {
    at += length;
    return bytes.slice(at - length, at);
  };
  const number32 = () => new Uint32Array(take(4).buffer)[0];
  const number64 = () => new BigUint64Array(take(8).buffer)[0];
  const text = () => take(Number(number64()));
  const skip = (type: number, n: number) => {
    if (type === TEXT) for (let i = 0; i < n; i++) text();
    else take(n * VALUE_BYTES[type]);
  };
  const values = Array.from({ length: Number(view.getBigUint64(16, true)) }, () => {
    const key = text();
    const start = at;
    const type = number32();
    if (type === ARRAY) skip(number32(), Number(number64()));
    else skip(type, 1);
    return { key, rest: bytes.slice(start, at) };
  });
  const tensors = Array.from({ length: Number(view.getBigUint64(8, true)) }, () => {
    const name = text();
    const sizes = Array.from({ length: number32() }, number64);
    return { name, sizes, type: number32(), offset: number64() };
  });
  const data = bytes.slice(Math.ceil(at / 32) * 32);
  return { version: view.getUint32(4, true), nTensorsMore: 0n, nValuesMore: 0n, values, tensors, alignment: 32, data };
}

export function putTogether(parts: GgufParts): Uint8Array {
  const count = (n: number, more: bigint) => u64(BigInt.asUintN(64, BigInt(n) + more));
  const text = (bytes: Uint8Array) => concat(u64(bytes.length), bytes);
  const header = concat(
    utf8("GGUF"),
    u32(parts.version),
    count(parts.tensors.length, parts.nTensorsMore),
    count(parts.values.length, parts.nValuesMore),
    ...parts.values.flatMap(({ key, rest }) => [text(key), rest]),
    ...parts.tensors.flatMap(({ name, sizes, type, offset }) => [
      text(name),
      u32(sizes.length),
      ...sizes.map(u64),
      u32(type),
      u64(offset),
    ]),
  );
  return concat(header, new Uint8Array(-header.length & (parts.alignment - 1)), parts.data);
}
