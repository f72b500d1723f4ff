// Matrix products with weights of any format and exact float32 activations.
#include "../../../native/src/isa.h"
#include "dot.h"
#include "panel.h"

namespace golgi::GOLGI_ISA {

namespace {

template <class F>
void panel_matmul(const MatmulArgs& a, Context& context) {
  for_panels(*a.w, a.n_n, a.n_rest, context, [&](const PanelChunk& chunk) {
    chunk.multiply<F>(0, a.n_k, a.x, a.n_k);
    chunk.store(a.bias, a.out, a.n_n);
  });
}

}  // namespace

void matmul(const MatmulArgs& a, Context& context) {
  // Up to here dot products beat the cost of transposing the weights.
  constexpr int64_t max_dot_rows = 12;
  with_format(a.w->format, [&](auto format) {
    using F = decltype(format);
    if (a.n_rest <= max_dot_rows) dot_matmul<F>(a, context);
    else panel_matmul<F>(a, context);
  });
}

}  // namespace golgi::GOLGI_ISA
