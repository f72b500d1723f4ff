// One product per head, each with its own columns of the weight.
#include "../../../native/src/isa.h"
#include "../matmul/panel.h"

namespace golgi::GOLGI_ISA {

void matmul_per_head(const MatmulPerHeadArgs& a, Context& context) {
  with_format(a.w->format, [&](auto format) {
    for_panels(*a.w, a.n_n, a.n_T, context, [&](const PanelChunk& chunk) {
      for (int64_t h = 0; h < a.n_H; h++) {
        chunk.multiply(format, h * a.n_D, (h + 1) * a.n_D, {a.z + h * a.n_D, a.n_H * a.n_D});
        chunk.store(nullptr, {a.out + h * a.n_n, a.n_H * a.n_n});
      }
    });
  });
}

}  // namespace golgi::GOLGI_ISA
