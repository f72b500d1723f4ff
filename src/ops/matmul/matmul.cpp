// Matrix products with weights of any format and exact float32 activations.
#include "../../../native/src/isa.h"
#include "dot.h"
#include "panel.h"

namespace golgi::GOLGI_ISA {

void matmul(const MatmulArgs& a, Context& context) {
  // Up to here dot products beat the cost of transposing the weights.
  constexpr int64_t max_dot_rows = 8;
  with_format(a.w->format, [&](auto format) {
    using F = decltype(format);
    if (a.n_rest <= max_dot_rows) dot_matmul<F>(a, context);
    else panel_matmul<F>(a, context);
  });
}

}  // namespace golgi::GOLGI_ISA
