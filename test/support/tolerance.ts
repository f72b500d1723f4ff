/** How far numbers may lie apart, stated once for all tests: the largest absolute deviation of any element. */
export const TOLERANCE = {
  /** From another implementation's float32, which adds up in another order. */
  official: 1e-4,
  /** From the values that minGPT's authors published for a small model. */
  published: 1e-5,
  /**
   * Between steps that hold the same row among others: kernels may add up in an order that suits the number of rows.
   * The reference backend has one order only, so there the bits are the same.
   */
  rows: 1e-4,
  /** Between two ways to compute the same in float64. */
  identity: 1e-11,
} as const;
