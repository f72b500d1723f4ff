#include "../../../native/src/isa.h"
#include "../../../native/src/ops/sums.h"

namespace golgi::GOLGI_ISA {

void sum(const SumArgs& a, Context& context) {
  // Rows as long as the vocabulary lose no accuracy.
  constexpr int64_t block = 4096;
  for_rows(context, a.n_rest, a.n_d, [&](int64_t row) {
    double total = 0;
    for (int64_t i = 0; i < a.n_d; i += block) total += sum_of(a.x + row * a.n_d + i, std::min(block, a.n_d - i));
    a.out[row] = static_cast<float>(total);
  });
}

}  // namespace golgi::GOLGI_ISA
