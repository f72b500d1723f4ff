#include <algorithm>

#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"

namespace golgi::GOLGI_ISA {

void select_pairs(const SelectPairsArgs& a, Context& context) {
  const int64_t* offset = a.rows->visible(a.window).offset;
  for_rows(context, a.n_H, a.n_Q, [&](int64_t head) {
    float* out = a.out + head * a.n_Q;
    for (int64_t i = 0; i < a.n_R; i++) {
      const int64_t row = a.indices[i];
      out = std::copy(a.x + head * a.n_P + offset[row], a.x + head * a.n_P + offset[row + 1], out);
    }
  });
}

}  // namespace golgi::GOLGI_ISA
