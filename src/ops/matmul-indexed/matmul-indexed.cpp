// Each slot's row times the matrix of its own expert. Slots are grouped by expert, so that a matrix is read once however
// many rows chose it, and the work of all experts is one list that threads share: few rows of an expert are dot products,
// many are panels, as in matmul.
#include "../../../native/src/isa.h"
#include "../matmul/decoded_dot.h"
#include "../matmul/panel.h"
#include "slots.h"

namespace golgi::GOLGI_ISA {

void matmul_indexed(const MatmulIndexedArgs& a, Context& context) {
  with_format(a.w->format, [&](auto format) {
    const int64_t n_each = outputs_per_chunk(a.n_n, format.bytes(a.n_k));
    const SlotsByExpert slots(a, context, [&](int64_t n_slots) {
      return n_slots <= max_dot_rows ? (a.n_n + n_each - 1) / n_each : PanelGrid(a.n_n, n_slots).n_chunks();
    });
    context.parallel(slots.n_chunks(), [&](int64_t chunk, int thread) {
      const ExpertSlots& group = slots.of_chunk(chunk);
      const int64_t index = chunk - group.first_chunk, first_row = group.expert * a.n_n;
      const float* bias = a.bias ? a.bias + first_row : nullptr;
      const Activations x{a.x, a.n_k, group.x_rows};
      const Results out{a.out, a.n_n, group.slots};
      if (group.n_slots <= max_dot_rows) {
        const int64_t begin = index * n_each, end = std::min(a.n_n, begin + n_each);
        dot_products(format, DotChunk{*a.w, first_row, bias, begin, end, a.n_k, group.n_slots, x, out});
      } else {
        const PanelChunk panels(PanelGrid(a.n_n, group.n_slots), index, *a.w, first_row, context, thread);
        panels.multiply(format, 0, a.n_k, x);
        panels.store(bias, out);
      }
    });
  });
}

}  // namespace golgi::GOLGI_ISA
