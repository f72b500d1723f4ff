// Lengths of the rows of a weight of any format, decoded a piece at a time.
#include <cmath>

#include "../../../native/src/formats/format.h"
#include "../../../native/src/isa.h"
#include "../../../native/src/ops/sums.h"
#include "../matmul/rows.h"

namespace golgi::GOLGI_ISA {

void row_norms(const RowNormsArgs& a, Context& context) {
  constexpr int64_t piece_elements = 2048;
  static_assert(piece_elements % max_block == 0);
  const int64_t rows_per_chunk = std::max<int64_t>(1, elements_per_chunk / std::max<int64_t>(1, a.n_k));
  with_format(a.w->format, [&](auto format) {
    for_chunks(context, a.n_n, rows_per_chunk, [&](int64_t begin, int64_t end) {
      float piece[piece_elements];
      RowReader reader(*a.w, begin);
      for (int64_t row = begin; row < end; row++) {
        const StoredRow stored = reader.row(row);
        double total = 0;
        for (int64_t k = 0; k < a.n_k; k += piece_elements) {
          const int64_t n = std::min(piece_elements, a.n_k - k);
          decode_row(format, stored, k, n, piece);
          total += sum_of_squares(piece, n);
        }
        a.out[row] = static_cast<float>(std::sqrt(total));
      }
    });
  });
}

}  // namespace golgi::GOLGI_ISA
