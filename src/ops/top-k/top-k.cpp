#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"
#include "../../../native/src/ops/largest.h"

namespace golgi::GOLGI_ISA {

void top_k(const TopKArgs& a, Context& context) {
  for_rows(context, a.n_rest, a.n_n, [&](int64_t row) {
    const float* x = a.x + row * a.n_n;
    int32_t* indices = a.indices + row * a.k;
    largest(x, a.n_n, a.k, indices);
    for (int64_t rank = 0; rank < a.k; rank++) a.values[row * a.k + rank] = x[indices[rank]];
  });
}

}  // namespace golgi::GOLGI_ISA
