// Softmax of one row, for the op and for attention.
#pragma once

#include "chunks.h"

namespace golgi::GOLGI_ISA {

inline float max_of(const float* x, int64_t n) {
  if (n < Floats::lanes) return *std::max_element(x, x + n);
  Floats largest = Floats::load(x);
  int64_t i = Floats::lanes;
  for (; i + Floats::lanes <= n; i += Floats::lanes) largest = max(largest, Floats::load(x + i));
  // The last vector overlaps the one before it, which changes no maximum.
  return max_lane(max(largest, Floats::load(x + n - Floats::lanes)));
}

/// out = exp(x − shift); returns the sum. out may be x. Sums in blocks, so that long rows lose no accuracy.
inline float exp_row(const float* x, float* out, int64_t n, Floats shift) {
  constexpr int64_t lanes = Floats::lanes;
  constexpr int64_t block = 64 * lanes;
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
  return sum(total) + tail;
}

/// out = exp(x − max) / Σ, where maximum and sum count what `sink` points to among the numbers; null: nothing. out may
/// be x.
inline void softmax_row(const float* x, float* out, int64_t n, const float* sink = nullptr) {
  if (n <= 0) return;
  const float largest = max_of(x, n);
  const Floats shift = Floats::all(sink ? std::max(largest, *sink) : largest);
  float total = exp_row(x, out, n, shift);
  if (sink) total += max_lane(exp(Floats::all(*sink) - shift));
  map(out, out, n, [factor = Floats::all(1 / total)](Floats e) { return e * factor; });
}

}  // namespace golgi::GOLGI_ISA
