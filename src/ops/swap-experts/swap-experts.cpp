#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"
#include "../../../native/src/ops/largest.h"

namespace golgi::GOLGI_ISA {

void swap_experts(const SwapExpertsArgs& a, Context& context) {
  for_rows(context, a.n_T, a.n_k, [&](int64_t t) {
    int32_t* slots = a.out + t * a.n_k;
    int32_t* end = slots + a.n_k;
    std::copy_n(a.indices + t * a.n_k, a.n_k, slots);
    const int32_t to = a.to[t];
    int32_t* slot = std::find(slots, end, a.from[t]);
    const bool has_place = slot != end && std::find(slots, end, to) == end;
    if (a.active[t] == 0 || !has_place || to < 0 || to >= a.n_n) return;
    *slot = to;
    const float* selection = a.selection + t * a.n_n;
    std::sort(slots, end, [selection](int32_t i, int32_t j) { return comes_before(selection, i, j); });
  });
}

}  // namespace golgi::GOLGI_ISA
