#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"

namespace golgi::GOLGI_ISA {

void weigh_experts(const WeighExpertsArgs& a, Context& context) {
  for_rows(context, a.n_T * a.n_A, a.n_n, [&](int64_t slot) {
    const Floats weight = Floats::all(a.weights[slot]);
    map(a.x + slot * a.n_n, a.out + slot * a.n_n, a.n_n, [weight](Floats x) { return weight * x; });
  });
}

}  // namespace golgi::GOLGI_ISA
