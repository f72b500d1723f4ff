// The k largest of a row, in the order of src/ops/top-k/largest.ts.
#pragma once

#include <algorithm>
#include <cmath>

#include "../isa.h"

namespace golgi::GOLGI_ISA {

/// Whether x[i] comes before x[j]: larger, or equal with a lower index; NaN after everything else.
inline bool comes_before(const float* x, int32_t i, int32_t j) {
  const bool i_is_nan = std::isnan(x[i]), j_is_nan = std::isnan(x[j]);
  if (i_is_nan != j_is_nan) return j_is_nan;
  if (i_is_nan || x[i] == x[j]) return i < j;
  return x[i] > x[j];
}

/// The first index from `begin` on whose x exceeds `bound`, or n.
inline int64_t next_above(const float* x, int64_t begin, int64_t n, float bound) {
  constexpr int64_t stride = 4 * Floats::lanes;
  // Zero in every lane that does not exceed the bound, NaN included.
  const auto excess = [x, b = Floats::all(bound)](int64_t i) {
    return select_less(b, Floats::load(x + i), Floats::all(1), Floats::zero());
  };
  int64_t i = begin;
  for (; i + stride <= n; i += stride) {
    Floats any = excess(i);
    for (int64_t j = Floats::lanes; j < stride; j += Floats::lanes) any += excess(i + j);
    if (max_lane(any) > 0) break;
  }
  while (i < n && !(x[i] > bound)) i++;
  return i;
}

/// Indices of the k first of x[n] in that order, k <= n. `best` has room for k.
inline void largest(const float* x, int64_t n, int64_t k, int32_t* best) {
  if (k <= 0) return;
  const auto before = [x](int32_t i, int32_t j) { return comes_before(x, i, j); };
  for (int32_t i = 0; i < k; i++) best[i] = i;
  // A heap whose top is the last of those kept.
  std::make_heap(best, best + k, before);
  for (int64_t i = k; i < n; i++) {
    // A later index displaces the top only if it is larger; anything but NaN displaces a NaN.
    if (!std::isnan(x[best[0]])) i = next_above(x, i, n, x[best[0]]);
    if (i >= n) break;
    if (std::isnan(x[i])) continue;
    std::pop_heap(best, best + k, before);
    best[k - 1] = static_cast<int32_t>(i);
    std::push_heap(best, best + k, before);
  }
  std::sort_heap(best, best + k, before);
}

}  // namespace golgi::GOLGI_ISA
