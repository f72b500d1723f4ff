#include "../../../native/src/isa.h"
#include "../../../native/src/ops/activation.h"
#include "../../../native/src/ops/edits.h"

namespace golgi::GOLGI_ISA {

void clamped_glu(const ClampedGluArgs& a, Context& context) {
  const Floats limit = Floats::all(static_cast<float>(a.limit)), alpha = Floats::all(static_cast<float>(a.alpha));
  for_chunks(context, a.n_rest, activations_per_chunk, [&](int64_t begin, int64_t end) {
    map(a.gate + begin, a.up + begin, a.out + begin, end - begin, [=](Floats gate, Floats up) {
      const Floats g = select_less(limit, gate, limit, gate);
      return gated(g, alpha * g) * (clamped(up, -limit, limit) + Floats::all(1));
    });
  });
}

}  // namespace golgi::GOLGI_ISA
