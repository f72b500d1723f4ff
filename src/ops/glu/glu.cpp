#include "../../../native/src/isa.h"
#include "../../../native/src/ops/activation.h"
#include "../../../native/src/ops/chunks.h"

namespace golgi::GOLGI_ISA {

void glu(const GluArgs& a, Context& context) {
  with_activation(a.fn, [&](auto fn) {
    for_chunks(context, a.n_rest, activations_per_chunk, [&](int64_t begin, int64_t end) {
      map(a.gate + begin, a.up + begin, a.out + begin, end - begin,
          [fn](Floats gate, Floats up) { return fn(gate) * up; });
    });
  });
}

}  // namespace golgi::GOLGI_ISA
