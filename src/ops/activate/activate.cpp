#include "../../../native/src/isa.h"
#include "../../../native/src/ops/activation.h"
#include "../../../native/src/ops/chunks.h"

namespace golgi::GOLGI_ISA {

void activate(const ActivateArgs& a, Context& context) {
  with_activation(a.fn, [&](auto fn) {
    for_chunks(context, a.n_rest, activations_per_chunk, [&](int64_t begin, int64_t end) {
      map(a.x + begin, a.out + begin, end - begin, fn);
    });
  });
}

}  // namespace golgi::GOLGI_ISA
