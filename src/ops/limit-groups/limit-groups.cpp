#include <limits>

#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"

namespace golgi::GOLGI_ISA {

void limit_groups(const LimitGroupsArgs& a, Context& context) {
  const int64_t size = a.n_n / a.n_groups;
  for_rows(context, a.n_T * a.n_groups, size, [&](int64_t group) {
    float* out = a.out + group * size;
    if (a.mask != nullptr && a.mask[group] == 0) std::fill_n(out, size, -std::numeric_limits<float>::infinity());
    else std::copy_n(a.x + group * size, size, out);
  });
}

}  // namespace golgi::GOLGI_ISA
