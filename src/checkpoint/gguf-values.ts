import { CheckpointError } from "../errors.ts";
import type { HeaderBytes } from "./gguf-bytes.ts";
import { DAMAGED } from "./json.ts";

/** Arrays of numbers of each type that metadata may have. */
export const NUMBER_ARRAYS = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
  f64: Float64Array,
} as const;

type NumberType = keyof typeof NUMBER_ARRAYS;
export type ElementType = NumberType | "bool" | "string";
type ValueType = ElementType | "array";

/** By the format's own ids, which are the positions here. */
export const VALUE_TYPES: readonly ValueType[] = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
];

export type Scalar = number | bigint | boolean | string;

/** A value of a GGUF file's metadata with its type there; 64-bit integers are bigints. */
export type GgufValue =
  | { readonly type: ElementType; readonly value: Scalar }
  | { readonly type: "array"; readonly of: ElementType; readonly value: ArrayLike<Scalar> };

/** By key, in the order of the file. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** The value of `key`, which is the name for messages. */
export function readValue(bytes: HeaderBytes, key: string): GgufValue {
  const type = readType(bytes, key);
  if (type !== "array") return { type, value: readArray(bytes, key, type, 1)[0] };
  const of = readType(bytes, key);
  if (of === "array") throw refuse(bytes, key, "an array must not hold arrays, as in ggml", "an array of arrays");
  const length = bytes.count(leastSizeBytes(of), key);
  return of === "string" ? readStrings(bytes, key, length) : { type, of, value: readArray(bytes, key, of, length) };
}

/** Decoded when they are first asked for. */
function readStrings(bytes: HeaderBytes, key: string, length: number): GgufValue {
  let decode: (() => string[]) | undefined = bytes.strings(length, key);
  let strings: string[] = [];
  return {
    type: "array",
    of: "string",
    get value() {
      strings = decode?.() ?? strings;
      decode = undefined;
      return strings;
    },
  };
}

function readType(bytes: HeaderBytes, key: string): ValueType {
  const id = bytes.u32(key);
  const type = VALUE_TYPES[id];
  if (type !== undefined) return type;
  throw refuse(bytes, key, `the type of a value must be 0 to ${VALUE_TYPES.length - 1}`, `${id}`);
}

function readArray(bytes: HeaderBytes, key: string, of: ElementType, length: number): ArrayLike<Scalar> {
  if (of === "string") return [bytes.string(key)];
  const { buffer } = bytes.take(length * leastSizeBytes(of), key);
  if (of !== "bool") return new NUMBER_ARRAYS[of](buffer);
  const stored = new Uint8Array(buffer);
  return bytes.list(length, key, (i) => {
    if (stored[i] > 1) throw refuse(bytes, key, "a bool must be 0 or 1", `${stored[i]}`);
    return stored[i] === 1;
  });
}

/** Bytes of an element; of a string those of its length alone. */
function leastSizeBytes(type: ElementType): number {
  if (type === "string") return 8;
  return type === "bool" ? 1 : NUMBER_ARRAYS[type].BYTES_PER_ELEMENT;
}

function refuse({ path }: HeaderBytes, key: string, expected: string, got: string): CheckpointError {
  return new CheckpointError("checkpoint.header", { path: `${path}: ${key}`, expected, got, remedy: DAMAGED });
}
