/**
 * The scales and minimums of Q4_K and Q5_K: 6 bits each for 8 groups, in 12 bytes (`get_scale_min_k4` in ggml). Groups 0
 * to 3 have the low 6 bits of bytes 0 to 3 (scales) and 4 to 7 (minimums); of groups 4 to 7 the low 4 bits are the halves
 * of bytes 8 to 11, and the high 2 bits are what the first 8 bytes have left.
 */
export function groupScale(bytes: Uint8Array, scales: number, group: number): number {
  if (group < 4) return bytes[scales + group] & 63;
  return (bytes[scales + group + 4] & 15) | ((bytes[scales + group - 4] >> 6) << 4);
}

export function groupMinimum(bytes: Uint8Array, scales: number, group: number): number {
  if (group < 4) return bytes[scales + group + 4] & 63;
  return (bytes[scales + group + 4] >> 4) | ((bytes[scales + group] >> 6) << 4);
}
