// Sharing out work whose pieces are small: fixed chunks, and none of the pool's threads for a single one.
#pragma once

#include <algorithm>

#include "../isa.h"

namespace golgi::GOLGI_ISA {

/// Elements of one chunk where an element costs about a load and a store.
constexpr int64_t elements_per_chunk = 16384;

/// Calls `work(begin, end)` for [0, n) in chunks of `chunk_size`.
template <class Work>
void for_chunks(Context& context, int64_t n, int64_t chunk_size, const Work& work) {
  if (n <= chunk_size) {
    if (n > 0) work(int64_t{0}, n);
    return;
  }
  context.parallel((n + chunk_size - 1) / chunk_size, [&](int64_t chunk, int) {
    const int64_t begin = chunk * chunk_size;
    work(begin, std::min(n, begin + chunk_size));
  });
}

/// Calls `work(row)` for each of `n_rows` rows, each of which touches about `row_size` elements.
template <class Work>
void for_rows(Context& context, int64_t n_rows, int64_t row_size, const Work& work) {
  const int64_t chunk_size = std::max<int64_t>(1, elements_per_chunk / std::max<int64_t>(1, row_size));
  for_chunks(context, n_rows, chunk_size, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) work(row);
  });
}

/// out[i] = f(x[i]) for [0, n), a vector at a time.
template <class F>
inline void map(const float* x, float* out, int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + Floats::lanes <= n; i += Floats::lanes) f(Floats::load(x + i)).store(out + i);
  if (i < n) f(Floats::load(x + i, n - i)).store(out + i, n - i);
}

/// out[i] = f(x[i], y[i]) for [0, n), a vector at a time.
template <class F>
inline void map(const float* x, const float* y, float* out, int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + Floats::lanes <= n; i += Floats::lanes) f(Floats::load(x + i), Floats::load(y + i)).store(out + i);
  if (i < n) f(Floats::load(x + i, n - i), Floats::load(y + i, n - i)).store(out + i, n - i);
}

}  // namespace golgi::GOLGI_ISA
