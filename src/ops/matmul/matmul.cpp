// Matrix products with weights of any format and exact float32 activations.
#include "../../../native/src/isa.h"
#include "decoded_dot.h"
#include "panel.h"

namespace golgi::GOLGI_ISA {

namespace {

template <class F>
void dot_matmul(F format, const MatmulArgs& a, Context& context) {
  const int64_t n_each = outputs_per_chunk(a.n_n, format.bytes(a.n_k));
  context.parallel((a.n_n + n_each - 1) / n_each, [&](int64_t index, int) {
    const int64_t begin = index * n_each, end = std::min(a.n_n, begin + n_each);
    dot_products(format, DotChunk{*a.w, 0, a.bias, begin, end, a.n_k, a.n_rest, {a.x, a.n_k}, {a.out, a.n_n}});
  });
}

template <class F>
void panel_matmul(F format, const MatmulArgs& a, Context& context) {
  for_panels(*a.w, a.n_n, a.n_rest, context, [&](const PanelChunk& chunk) {
    chunk.multiply(format, 0, a.n_k, {a.x, a.n_k});
    chunk.store(a.bias, {a.out, a.n_n});
  });
}

}  // namespace

void matmul(const MatmulArgs& a, Context& context) {
  with_format(a.w->format, [&](auto format) {
    if (a.n_rest <= max_dot_rows) dot_matmul(format, a, context);
    else panel_matmul(format, a, context);
  });
}

}  // namespace golgi::GOLGI_ISA
