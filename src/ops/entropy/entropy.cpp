#include <cmath>
#include <limits>

#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"

namespace golgi::GOLGI_ISA {

void entropy(const EntropyArgs& a, Context& context) {
  for_rows(context, a.n_rest, a.n_d, [&](int64_t row) {
    const float* x = a.x + row * a.n_d;
    double total = 0;
    for (int64_t i = 0; i < a.n_d; i++) {
      if (x[i] > 0) total += x[i];
    }
    double entropy = 0;
    for (int64_t i = 0; i < a.n_d; i++) {
      if (x[i] > 0) entropy -= x[i] / total * std::log(x[i] / total);
    }
    a.out[row] = total > 0 ? static_cast<float>(entropy) : std::numeric_limits<float>::quiet_NaN();
  });
}

}  // namespace golgi::GOLGI_ISA
