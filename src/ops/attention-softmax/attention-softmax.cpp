#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"
#include "../../../native/src/ops/softmax_row.h"

namespace golgi::GOLGI_ISA {

void attention_softmax(const AttentionSoftmaxArgs& a, Context& context) {
  const int64_t* offset = a.rows->visible(a.window).offset;
  const int64_t n_rows = a.rows->n_rows;
  const int64_t keys_per_row = a.n_P / std::max<int64_t>(1, n_rows);
  for_rows(context, a.n_H * n_rows, 4 * keys_per_row, [&](int64_t i) {
    const int64_t row = i % n_rows, at = i / n_rows * a.n_P + offset[row];
    const float* sink = a.sinks ? a.sinks + i / n_rows : nullptr;
    softmax_row(a.scores + at, a.out + at, offset[row + 1] - offset[row], sink);
  });
}

}  // namespace golgi::GOLGI_ISA
