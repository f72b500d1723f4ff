// Elementwise ops of a[*, ...] and b[...], where b is repeated over the leading sizes of a.
#pragma once

#include "chunks.h"

namespace golgi::GOLGI_ISA {

/// out = f(a, b) for `n_lead` times the `n_rest` elements of b.
template <class F>
void broadcast(const float* a, const float* b, float* out, int64_t n_lead, int64_t n_rest, Context& context,
               const F& f) {
  for_chunks(context, n_lead * n_rest, elements_per_chunk, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end;) {
      const int64_t in_b = at % n_rest;
      const int64_t n = std::min(end - at, n_rest - in_b);
      map(a + at, b + in_b, out + at, n, f);
      at += n;
    }
  });
}

}  // namespace golgi::GOLGI_ISA
