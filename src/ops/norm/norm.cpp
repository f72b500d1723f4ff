#include <cmath>

#include "../../../native/src/isa.h"
#include "../../../native/src/ops/normalise.h"

namespace golgi::GOLGI_ISA {

void norm(const NormArgs& a, Context& context) {
  for_rows(context, a.n_rest, a.n_d, [&](int64_t row) {
    a.out[row] = std::sqrt(sum_of_squares(a.x + row * a.n_d, a.n_d));
  });
}

}  // namespace golgi::GOLGI_ISA
