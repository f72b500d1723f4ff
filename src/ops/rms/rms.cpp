#include "../../../native/src/isa.h"
#include "../../../native/src/ops/normalise.h"

namespace golgi::GOLGI_ISA {

void rms(const RmsArgs& a, Context& context) {
  for_rows(context, a.n_rest, a.n_d, [&](int64_t row) { a.out[row] = rms_of(a.x + row * a.n_d, a.n_d, a.eps); });
}

}  // namespace golgi::GOLGI_ISA
