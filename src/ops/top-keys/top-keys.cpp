#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"
#include "../../../native/src/ops/largest.h"

namespace golgi::GOLGI_ISA {

void top_keys(const TopKeysArgs& a, Context& context) {
  const VisibleKeys& visible = a.rows->visible(a.window);
  const int64_t keys_per_row = a.n_P / std::max<int64_t>(1, a.n_T);
  for_rows(context, a.n_H * a.n_T, keys_per_row, [&](int64_t i) {
    const int64_t head = i / a.n_T, row = i % a.n_T;
    const float* pattern = a.pattern + head * a.n_P + visible.offset[row];
    const int64_t n_visible = visible.offset[row + 1] - visible.offset[row];
    const int64_t n = std::min(a.k, n_visible);
    float* weights = a.weights + i * a.k;
    int32_t* keys = a.keys + i * a.k;
    largest(pattern, n_visible, n, keys);
    for (int64_t rank = 0; rank < a.k; rank++) {
      weights[rank] = rank < n ? pattern[keys[rank]] : 0;
      keys[rank] = rank < n ? visible.first[row] + keys[rank] : -1;
    }
  });
}

}  // namespace golgi::GOLGI_ISA
