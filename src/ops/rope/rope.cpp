#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"
#include "../../../native/src/ops/rotary.h"

namespace golgi::GOLGI_ISA {

void rope(const RopeArgs& a, Context& context) {
  for_rows(context, a.n_T, a.n_H * a.n_D, [&](int64_t row) {
    const float* freqs = frequencies_of(*a.rows, row, a.freqs, a.n_r);
    rotate_row(a, row, [&](int64_t first, int64_t n, float* angles) {
      angles_of(*a.rows, row, freqs + first, n, angles);
    });
  });
}

}  // namespace golgi::GOLGI_ISA
