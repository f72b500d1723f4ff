#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"

namespace golgi::GOLGI_ISA {

void take_along(const TakeAlongArgs& a, Context& context) {
  for_rows(context, a.n_T, a.n_k, [&](int64_t t) {
    for (int64_t i = t * a.n_k; i < (t + 1) * a.n_k; i++) a.out[i] = a.x[t * a.n_n + a.indices[i]];
  });
}

}  // namespace golgi::GOLGI_ISA
