/**
 * bfloat16 is the upper half of a float32, so all 65,536 values fit a table: one look-up per element,
 * with every NaN and subnormal as the hardware would give it.
 */
export const BFLOAT16_TABLE: Float32Array = (() => {
  const bits = new Uint32Array(65_536);
  for (let i = 0; i < bits.length; i++) bits[i] = i << 16;
  return new Float32Array(bits.buffer);
})();
