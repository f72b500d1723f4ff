// The pieces of the norms. The composites and the primitives that they stand for call the same ones, so that they
// agree to the bit, with taps or without.
#pragma once

#include <cmath>

#include "sums.h"

namespace golgi::GOLGI_ISA {

/// √(mean(x²) + eps).
inline float rms_of(const float* x, int64_t n, double eps) {
  return static_cast<float>(std::sqrt(static_cast<double>(sum_of_squares(x, n)) / static_cast<double>(n) + eps));
}

inline void center_row(const float* x, float* out, int64_t n) {
  const float mean = sum_of(x, n) / static_cast<float>(n);
  map(x, out, n, [mean = Floats::all(mean)](Floats v) { return v - mean; });
}

}  // namespace golgi::GOLGI_ISA
