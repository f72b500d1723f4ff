#include "../../../native/src/isa.h"
#include "../../../native/src/ops/normalise.h"

namespace golgi::GOLGI_ISA {

void divide(const DivideArgs& a, Context& context) {
  for_rows(context, a.n_rest, a.n_d, [&](int64_t row) {
    map(a.x + row * a.n_d, a.out + row * a.n_d, a.n_d,
        [divisor = Floats::all(a.divisor[row])](Floats x) { return x / divisor; });
  });
}

}  // namespace golgi::GOLGI_ISA
