#include "../../../native/src/isa.h"
#include "../../../native/src/ops/normalise.h"

namespace golgi::GOLGI_ISA {

void center(const CenterArgs& a, Context& context) {
  for_rows(context, a.n_rest, a.n_d, [&](int64_t row) { center_row(a.x + row * a.n_d, a.out + row * a.n_d, a.n_d); });
}

}  // namespace golgi::GOLGI_ISA
