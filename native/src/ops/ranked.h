// Ranking the entries of short rows: experts and groups of them.
#pragma once

#include "chunks.h"
#include "largest.h"

namespace golgi::GOLGI_ISA {

/// Calls `work(row, indices)` for each of `n_rows` rows of `row_size` elements, with room for k indices.
template <class Work>
void for_rows_with_indices(Context& context, int64_t n_rows, int64_t row_size, int64_t k, const Work& work) {
  const int64_t chunk_size = std::max<int64_t>(1, elements_per_chunk / std::max<int64_t>(1, row_size));
  context.parallel((n_rows + chunk_size - 1) / chunk_size, [&](int64_t chunk, int thread) {
    int32_t* indices = static_cast<int32_t*>(context.scratch(thread, k * 4));
    const int64_t end = std::min(n_rows, (chunk + 1) * chunk_size);
    for (int64_t row = chunk * chunk_size; row < end; row++) work(row, indices);
  });
}

/// The k first of [0, n) in an order, k <= n; `best` has room for k.
template <class Before>
inline void first_of(int32_t n, int32_t k, int32_t* best, const Before& before) {
  if (k <= 0) return;
  for (int32_t i = 0; i < k; i++) best[i] = i;
  // A heap whose top is the last of those kept.
  std::make_heap(best, best + k, before);
  for (int32_t i = k; i < n; i++) {
    if (!before(i, best[0])) continue;
    std::pop_heap(best, best + k, before);
    best[k - 1] = i;
    std::push_heap(best, best + k, before);
  }
  std::sort_heap(best, best + k, before);
}

}  // namespace golgi::GOLGI_ISA
