// Sums of vectors of float32, which depend on their length alone.
#pragma once

#include "chunks.h"

namespace golgi::GOLGI_ISA {

/// Σ of n floats, of which `at(i)` gives the vector from i on and `at(i, n)` its first n lanes, 0 in the others: in four
/// interleaved partial sums per lane, added in a fixed tree.
template <class At>
inline float sum_of(int64_t n, const At& at) {
  constexpr int64_t lanes = Floats::lanes;
  Floats total[4] = {Floats::zero(), Floats::zero(), Floats::zero(), Floats::zero()};
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    for (int64_t j = 0; j < 4; j++) total[j] += at(i + j * lanes);
  }
  for (; i + lanes <= n; i += lanes) total[0] += at(i);
  if (i < n) total[1] += at(i, n - i);
  return sum((total[0] + total[1]) + (total[2] + total[3]));
}

inline float sum_of(const float* x, int64_t n) {
  return sum_of(n, [x](int64_t i, auto... count) { return Floats::load(x + i, count...); });
}

inline float sum_of_squares(const float* x, int64_t n) {
  return sum_of(n, [x](int64_t i, auto... count) {
    const Floats v = Floats::load(x + i, count...);
    return v * v;
  });
}

inline float dot_of(const float* x, const float* y, int64_t n) {
  return sum_of(n, [x, y](int64_t i, auto... count) {
    return Floats::load(x + i, count...) * Floats::load(y + i, count...);
  });
}

}  // namespace golgi::GOLGI_ISA
