// Rows of a weight or of an activation, decoded.
#include <algorithm>

#include "../../../native/src/formats/format.h"
#include "../../../native/src/isa.h"

namespace golgi::GOLGI_ISA {

void select_rows(const SelectRowsArgs& a, Context& context) {
  constexpr int64_t elements_per_chunk = 16384;
  const int64_t rows_per_chunk = std::max<int64_t>(1, elements_per_chunk / std::max<int64_t>(1, a.n_rest));
  with_format(a.x->format, [&](auto format) {
    context.parallel((a.n_R + rows_per_chunk - 1) / rows_per_chunk, [&](int64_t chunk, int) {
      const int64_t end = std::min(a.n_R, (chunk + 1) * rows_per_chunk);
      for (int64_t r = chunk * rows_per_chunk; r < end; r++) {
        decode_row(format, a.x->row(a.indices[r]), 0, a.n_rest, a.out + r * a.n_rest);
      }
    });
  });
}

}  // namespace golgi::GOLGI_ISA
