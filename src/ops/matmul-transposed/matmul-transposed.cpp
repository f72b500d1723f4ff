#include "../../../native/src/isa.h"
#include "../../../native/src/ops/column_sums.h"
#include "strip_product.h"

namespace golgi::GOLGI_ISA {

void matmul_transposed(const MatmulTransposedArgs& a, Context& context) {
  with_format(a.w->format, [&](auto format) {
    for_strips(context, a.n_n, a.n_k, a.n_rest, a.out, [&](const Strip& strip, float* to, int thread) {
      auto* scratch = static_cast<float*>(context.scratch(thread, 4 * strip_scratch_size(strip.n_sums)));
      const Activations x = Activations{a.x, a.n_n}.from(strip.first_sum, strip.first_row);
      multiply_strip(format, *a.w, strip, x, {to, a.n_k}, scratch);
    });
  });
}

}  // namespace golgi::GOLGI_ISA
