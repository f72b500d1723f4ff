#include "../../../native/src/isa.h"
#include "../../../native/src/ops/ranked.h"

namespace golgi::GOLGI_ISA {

void top_mask(const TopMaskArgs& a, Context& context) {
  for_rows_with_indices(context, a.n_rest, a.n_n, a.k, [&](int64_t row, int32_t* indices) {
    float* out = a.out + row * a.n_n;
    largest(a.x + row * a.n_n, a.n_n, a.k, indices);
    std::fill_n(out, a.n_n, 0.0f);
    for (int64_t rank = 0; rank < a.k; rank++) out[indices[rank]] = 1;
  });
}

}  // namespace golgi::GOLGI_ISA
