// Columns of a weight: one element of each stored row.
#include <algorithm>

#include "../../../native/src/formats/format.h"
#include "../../../native/src/isa.h"
#include "../matmul/rows.h"

namespace golgi::GOLGI_ISA {

void select_columns(const SelectColumnsArgs& a, Context& context) {
  // Each element costs a cache line from memory.
  constexpr int64_t rows_per_chunk = 64;
  with_format(a.w->format, [&](auto format) {
    context.parallel((a.n_n + rows_per_chunk - 1) / rows_per_chunk, [&](int64_t chunk, int) {
      const int64_t end = std::min(a.n_n, (chunk + 1) * rows_per_chunk);
      RowReader reader(*a.w, chunk * rows_per_chunk);
      for (int64_t j = chunk * rows_per_chunk; j < end; j++) {
        const StoredRow row = reader.row(j);
        for (int64_t r = 0; r < a.n_R; r++) a.out[r * a.n_n + j] = decode_element(format, row, a.indices[r]);
      }
    });
  });
}

}  // namespace golgi::GOLGI_ISA
