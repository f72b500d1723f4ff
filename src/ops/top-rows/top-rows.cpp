#include <cmath>

#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"
#include "../../../native/src/ops/largest.h"

namespace golgi::GOLGI_ISA {

void top_rows(const TopRowsArgs& a, Context& context) {
  // Those of one cache line.
  constexpr int64_t columns_per_chunk = 16;
  const int64_t n = std::min(a.k, a.n_n);
  // An odd number of cache lines, so that the columns do not compete for the same sets of the cache.
  const int64_t padded = ((a.n_n + 15) / 16 | 1) * 16;
  context.parallel((a.n_m + columns_per_chunk - 1) / columns_per_chunk, [&](int64_t chunk, int thread) {
    const int64_t first = chunk * columns_per_chunk;
    const int64_t n_columns = std::min(columns_per_chunk, a.n_m - first);
    float* columns = static_cast<float*>(context.scratch(thread, 4 * (columns_per_chunk * padded + n)));
    int32_t* best = reinterpret_cast<int32_t*>(columns + columns_per_chunk * padded);
    for (int64_t row = 0; row < a.n_n; row++) {
      for (int64_t j = 0; j < n_columns; j++) columns[j * padded + row] = a.x[row * a.n_m + first + j];
    }
    for (int64_t j = 0; j < n_columns; j++) {
      const float* column = columns + j * padded;
      largest(column, a.n_n, n, best);
      for (int64_t rank = 0; rank < a.k; rank++) {
        a.values[rank * a.n_m + first + j] = rank < n ? column[best[rank]] : -INFINITY;
        a.rows[rank * a.n_m + first + j] = rank < n ? best[rank] : -1;
      }
    }
  });
}

}  // namespace golgi::GOLGI_ISA
