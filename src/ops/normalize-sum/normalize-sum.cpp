#include "../../../native/src/isa.h"
#include "../../../native/src/ops/sums.h"

namespace golgi::GOLGI_ISA {

void normalize_sum(const NormalizeSumArgs& a, Context& context) {
  for_rows(context, a.n_rest, 2 * a.n_n, [&](int64_t row) {
    const float* x = a.x + row * a.n_n;
    const Floats total = Floats::all(static_cast<float>(a.eps) + sum_of(x, a.n_n));
    map(x, a.out + row * a.n_n, a.n_n, [total](Floats v) { return v / total; });
  });
}

}  // namespace golgi::GOLGI_ISA
