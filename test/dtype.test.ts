import { describe, expect, it } from "vitest";
import { decodeFloats, floatArray, type Precision } from "../src/tensor/dtype.ts";
import { concat } from "./checkpoint-files.ts";

describe("decodeFloats", () => {
  function decode(dtype: "f16" | "bf16" | "f32", words: readonly number[], precision: Precision = "f32"): number[] {
    const bytes = new Uint8Array(dtype === "f32" ? Uint32Array.from(words).buffer : Uint16Array.from(words).buffer);
    const out = floatArray(precision, words.length + 1);
    decodeFloats(dtype, bytes, out, 1);
    expect(out[0]).toBe(0);
    return [...out.subarray(1)];
  }

  const { POSITIVE_INFINITY: INF, NEGATIVE_INFINITY: MINUS_INF, NaN: NAN } = Number;

  it.each<Precision>(["f32", "f64"])("gives every kind of f16 in %s", (precision) => {
    const words = [
      0x0000, 0x8000, 0x3c00, 0xc000, 0x0001, 0x83ff, 0x0400, 0x7bff, 0x3555, 0x7c00, 0xfc00, 0x7e00, 0x7c01,
    ];
    const expected = [
      0,
      -0,
      1,
      -2,
      2 ** -24,
      -1023 * 2 ** -24,
      2 ** -14,
      65504,
      0.333251953125,
      INF,
      MINUS_INF,
      NAN,
      NAN,
    ];
    expect(decode("f16", words, precision)).toEqual(expected);
  });

  it.each<Precision>(["f32", "f64"])("gives every kind of bf16 in %s", (precision) => {
    const words = [
      0x0000, 0x8000, 0x3f80, 0xc000, 0x0001, 0x807f, 0x0080, 0x7f7f, 0x3eab, 0x7f80, 0xff80, 0x7fc0, 0x7f81,
    ];
    const largest = (2 - 2 ** -7) * 2 ** 127;
    const expected = [
      0,
      -0,
      1,
      -2,
      2 ** -133,
      -127 * 2 ** -133,
      2 ** -126,
      largest,
      0.333984375,
      INF,
      MINUS_INF,
      NAN,
      NAN,
    ];
    expect(decode("bf16", words, precision)).toEqual(expected);
  });

  it("keeps the bits of every f32, at any offset of its bytes", () => {
    const words = [0x00000001, 0x7f7fffff, 0xff800000, 0x3eaaaaab, 0x7fc00001];
    const unaligned = concat(Uint8Array.of(9), new Uint8Array(Uint32Array.from(words).buffer)).subarray(1);
    const out = new Float32Array(words.length);
    decodeFloats("f32", unaligned as Uint8Array<ArrayBuffer>, out, 0);
    expect([...new Uint32Array(out.buffer)]).toEqual(words);
  });

  it("gives halves at odd offsets of their bytes", () => {
    for (const [dtype, one] of [
      ["f16", 0x3c],
      ["bf16", 0x3f],
    ] as const) {
      const bytes = Uint8Array.of(9, dtype === "f16" ? 0 : 0x80, one).subarray(1);
      const out = new Float32Array(1);
      decodeFloats(dtype, bytes, out, 0);
      expect(out[0]).toBe(1);
    }
  });
});
