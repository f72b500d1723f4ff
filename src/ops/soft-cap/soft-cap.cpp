#include "../../../native/src/isa.h"
#include "../../../native/src/ops/activation.h"
#include "../../../native/src/ops/chunks.h"
#include "../../../native/src/ops/soft_cap.h"

namespace golgi::GOLGI_ISA {

void soft_cap(const SoftCapArgs& a, Context& context) {
  const Floats cap = Floats::all(static_cast<float>(a.cap));
  for_chunks(context, a.n_rest, activations_per_chunk, [&](int64_t begin, int64_t end) {
    map(a.x + begin, a.out + begin, end - begin, [cap](Floats x) { return soft_capped(x, cap); });
  });
}

}  // namespace golgi::GOLGI_ISA
