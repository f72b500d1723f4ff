// Softmax of one row, for the op and for attention.
#pragma once

#include <algorithm>

#include "../isa.h"

namespace golgi::GOLGI_ISA {

inline float max_of(const float* x, int64_t n) {
  if (n < Floats::lanes) return *std::max_element(x, x + n);
  Floats largest = Floats::load(x);
  int64_t i = Floats::lanes;
  for (; i + Floats::lanes <= n; i += Floats::lanes) largest = max(largest, Floats::load(x + i));
  // The last vector overlaps the one before it, which changes no maximum.
  return max_lane(max(largest, Floats::load(x + n - Floats::lanes)));
}

/// out = exp(x − max) / Σ; out may be x. Sums in blocks, so that long rows lose no accuracy.
inline void softmax_row(const float* x, float* out, int64_t n) {
  constexpr int64_t lanes = Floats::lanes;
  constexpr int64_t block = 64 * lanes;
  if (n <= 0) return;
  const Floats shift = Floats::all(max_of(x, n));
  Floats total = Floats::zero();
  float tail = 0;
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t end = std::min(n, begin + block);
    Floats part = Floats::zero();
    int64_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      const Floats e = exp(Floats::load(x + i) - shift);
      e.store(out + i);
      part += e;
    }
    total += part;
    if (i < end) {
      // Read back: the lanes beyond the end must not count.
      exp(Floats::load(x + i, end - i) - shift).store(out + i, end - i);
      tail = sum(Floats::load(out + i, end - i));
    }
  }
  const Floats scale = Floats::all(1 / (sum(total) + tail));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) (Floats::load(out + i) * scale).store(out + i);
  if (i < n) (Floats::load(out + i, n - i) * scale).store(out + i, n - i);
}

}  // namespace golgi::GOLGI_ISA
