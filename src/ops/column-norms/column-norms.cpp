// Lengths of the columns of a weight of any format.
#include "../../../native/src/isa.h"
#include "../../../native/src/ops/column_sums.h"
#include "../matmul-transposed/strip_reader.h"

namespace golgi::GOLGI_ISA {

void column_norms(const ColumnNormsArgs& a, Context& context) {
  with_format(a.w->format, [&](auto format) {
    for_strips(context, a.n_n, a.n_k, 1, a.out, [&](const Strip& strip, float* to, int) {
      float decoded[strip_columns];
      StripReader reader(format, *a.w, strip);
      const auto row_at = [&](int64_t row) {
        reader.decode(row, decoded);
        return decoded;
      };
      add_rows(strip, to, row_at, [](Floats x) { return x * x; });
    });
  });
  map(a.out, a.out, a.n_k, [](Floats x) { return sqrt(x); });
}

}  // namespace golgi::GOLGI_ISA
