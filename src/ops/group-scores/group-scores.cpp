#include "../../../native/src/isa.h"
#include "../../../native/src/ops/ranked.h"

namespace golgi::GOLGI_ISA {

void group_scores(const GroupScoresArgs& a, Context& context) {
  const int64_t size = a.n_n / a.n_groups;
  for_rows_with_indices(context, a.n_T * a.n_groups, size, a.k, [&](int64_t group, int32_t* indices) {
    const float* x = a.x + group * size;
    largest(x, size, a.k, indices);
    float total = 0;
    for (int64_t rank = 0; rank < a.k; rank++) total += x[indices[rank]];
    a.out[group] = total;
  });
}

}  // namespace golgi::GOLGI_ISA
