import { BFLOAT16_TABLE } from "./bfloat16.ts";

/** Element types that a safetensors header may declare, with the bytes of one element. */
export const DTYPE_SIZE_BYTES = {
  f64: 8,
  f32: 4,
  f16: 2,
  bf16: 2,
  f8_e4m3: 1,
  f8_e5m2: 1,
  i64: 8,
  i32: 4,
  i16: 2,
  i8: 1,
  u64: 8,
  u32: 4,
  u16: 2,
  u8: 1,
  bool: 1,
} as const;

export type Dtype = keyof typeof DTYPE_SIZE_BYTES;

/** The formats that the engine computes with. */
export const COMPUTE_DTYPES = ["f32", "f16", "bf16"] as const satisfies readonly Dtype[];
export type ComputeDtype = (typeof COMPUTE_DTYPES)[number];

/** Storage of real numbers in a run: float32, or float64 where the reference is used as a measuring rod. */
export type FloatArray = Float32Array | Float64Array;
export type Precision = "f32" | "f64";

export function floatArray(precision: Precision, length: number): FloatArray {
  return precision === "f32" ? new Float32Array(length) : new Float64Array(length);
}

/**
 * Decodes little-endian elements into `out` from element `at` on; every value is exact in float32.
 * `bytes` holds a whole number of elements.
 */
export function decodeFloats(dtype: ComputeDtype, bytes: Uint8Array<ArrayBuffer>, out: FloatArray, at: number): void {
  const { buffer, byteOffset, byteLength } = aligned(bytes, DTYPE_SIZE_BYTES[dtype]);
  switch (dtype) {
    case "f32":
      out.set(new Float32Array(buffer, byteOffset, byteLength / 4), at);
      break;
    case "f16":
      out.set(new Float16Array(buffer, byteOffset, byteLength / 2), at);
      break;
    case "bf16": {
      const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
      for (let i = 0; i < halves.length; i++) out[at + i] = BFLOAT16_TABLE[halves[i]];
      break;
    }
  }
}

/** The same bytes at an offset that a typed array of `sizeBytes` accepts; copies only where it must. */
function aligned(bytes: Uint8Array<ArrayBuffer>, sizeBytes: number): Uint8Array<ArrayBuffer> {
  return bytes.byteOffset % sizeBytes === 0 ? bytes : bytes.slice();
}
