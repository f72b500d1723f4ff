#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"

namespace golgi::GOLGI_ISA {

void mul_rows(const MulRowsArgs& a, Context& context) {
  for_rows(context, a.n_rest, a.n_d, [&](int64_t row) {
    const Floats factor = Floats::all(a.factor[row]);
    map(a.x + row * a.n_d, a.out + row * a.n_d, a.n_d, [factor](Floats x) { return x * factor; });
  });
}

}  // namespace golgi::GOLGI_ISA
