#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"
#include "../../../native/src/ops/softmax_row.h"

namespace golgi::GOLGI_ISA {

void softmax(const SoftmaxArgs& a, Context& context) {
  for_rows(context, a.n_rest, 4 * a.n_n, [&](int64_t row) {
    softmax_row(a.x + row * a.n_n, a.out + row * a.n_n, a.n_n);
  });
}

}  // namespace golgi::GOLGI_ISA
