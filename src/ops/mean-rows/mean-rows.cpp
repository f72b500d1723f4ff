#include "../../../native/src/isa.h"
#include "../../../native/src/ops/column_sums.h"

namespace golgi::GOLGI_ISA {

void mean_rows(const MeanRowsArgs& a, Context& context) {
  for_strips(context, a.n_n, a.n_rest, 1, a.out, [&](const Strip& strip, float* to, int) {
    const auto row_at = [&](int64_t row) { return a.x + row * a.n_rest + strip.first_column; };
    add_rows(strip, to, row_at, [](Floats x) { return x; });
  });
  map(a.out, a.out, a.n_rest, [n = Floats::all(static_cast<float>(a.n_n))](Floats x) { return x / n; });
}

}  // namespace golgi::GOLGI_ISA
