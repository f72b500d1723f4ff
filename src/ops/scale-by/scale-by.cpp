#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"

namespace golgi::GOLGI_ISA {

void scale_by(const ScaleByArgs& a, Context& context) {
  const Floats factor = Floats::all(static_cast<float>(a.factor));
  for_chunks(context, a.n_rest, elements_per_chunk, [&](int64_t begin, int64_t end) {
    map(a.x + begin, a.out + begin, end - begin, [factor](Floats x) { return factor * x; });
  });
}

}  // namespace golgi::GOLGI_ISA
