#include "../../../native/src/isa.h"
#include "../../../native/src/ops/broadcast.h"

namespace golgi::GOLGI_ISA {

void mul(const MulArgs& a, Context& context) {
  broadcast(a.a, a.b, a.out, a.n_lead, a.n_rest, context, [](Floats x, Floats y) { return x * y; });
}

}  // namespace golgi::GOLGI_ISA
