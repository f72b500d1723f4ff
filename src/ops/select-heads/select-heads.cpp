#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"

namespace golgi::GOLGI_ISA {

void select_heads(const SelectHeadsArgs& a, Context& context) {
  for_rows(context, a.n_T, a.n_n * a.n_D, [&](int64_t t) {
    for (int64_t i = 0; i < a.n_n; i++) {
      std::copy_n(a.x + (t * a.n_H + a.heads[i]) * a.n_D, a.n_D, a.out + (t * a.n_n + i) * a.n_D);
    }
  });
}

}  // namespace golgi::GOLGI_ISA
