/**
 * bfloat16 is the upper half of a float32, so all 65,536 values fit a table: one look-up per element,
 * with every NaN and subnormal as the hardware would give it.
 */
export const BFLOAT16_TABLE: Float32Array = (() => {
  const bits = new Uint32Array(65_536);
  for (let i = 0; i < bits.length; i++) bits[i] = i << 16;
  return new Float32Array(bits.buffer);
})();

/** The bits of the nearest bfloat16 values, halves to even; a NaN stays one, made quiet. */
export function bfloat16Of(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.slice().buffer);
  const out = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i];
    const isNan = (word & 0x7fffffff) > 0x7f800000;
    out[i] = isNan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}
