#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"
#include "../../../native/src/ops/rotary.h"

namespace golgi::GOLGI_ISA {

void rotate(const RotateArgs& a, Context& context) {
  const int64_t row_size = a.n_H * a.n_D;
  for_rows(context, a.n_T, row_size, [&](int64_t row) {
    rotate_row(a, row, [&](int64_t first, int64_t n, float* angles) {
      std::copy_n(a.angles + row * a.n_r + first, n, angles);
    });
  });
}

}  // namespace golgi::GOLGI_ISA
