// The pieces of the norms. The composites and the primitives that they stand for call the same ones, so that they
// agree to the bit, with taps or without.
#pragma once

#include <cmath>

#include "chunks.h"

namespace golgi::GOLGI_ISA {

/// Σ f(x[i]) in four interleaved partial sums per lane, added in a fixed tree.
template <class F>
inline float sum_of(const float* x, int64_t n, const F& f) {
  constexpr int64_t lanes = Floats::lanes;
  Floats total[4] = {Floats::zero(), Floats::zero(), Floats::zero(), Floats::zero()};
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    for (int64_t j = 0; j < 4; j++) total[j] += f(Floats::load(x + i + j * lanes));
  }
  for (; i + lanes <= n; i += lanes) total[0] += f(Floats::load(x + i));
  // Lanes beyond the end load as 0, and every f used here maps 0 to 0.
  if (i < n) total[1] += f(Floats::load(x + i, n - i));
  return sum((total[0] + total[1]) + (total[2] + total[3]));
}

inline float sum_of_squares(const float* x, int64_t n) {
  return sum_of(x, n, [](Floats v) { return v * v; });
}

/// √(mean(x²) + eps).
inline float rms_of(const float* x, int64_t n, double eps) {
  return static_cast<float>(std::sqrt(static_cast<double>(sum_of_squares(x, n)) / static_cast<double>(n) + eps));
}

inline void center_row(const float* x, float* out, int64_t n) {
  const float mean = sum_of(x, n, [](Floats v) { return v; }) / static_cast<float>(n);
  map(x, out, n, [mean = Floats::all(mean)](Floats v) { return v - mean; });
}

}  // namespace golgi::GOLGI_ISA
