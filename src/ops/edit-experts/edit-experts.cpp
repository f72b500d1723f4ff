#include "../../../native/src/isa.h"
#include "../../../native/src/ops/edits.h"

namespace golgi::GOLGI_ISA {

void edit_experts(const EditExpertsArgs& a, Context& context) {
  const int64_t slot_size = a.n_pieces * a.piece_size;
  for_rows(context, a.n_T * a.n_A, slot_size, [&](int64_t slot) {
    const int64_t t = slot / a.n_A;
    float* out = a.out + slot * slot_size;
    std::copy_n(a.x + slot * slot_size, slot_size, out);
    if (a.active[t] == 0 || (a.expert[t] >= 0 && a.expert[t] != a.indices[slot])) return;
    edit_row(a, out, a.index[t], a.operand + t * a.n_w);
  });
}

}  // namespace golgi::GOLGI_ISA
