#include "../../../native/src/isa.h"
#include "../../../native/src/ops/edits.h"

namespace golgi::GOLGI_ISA {

void patch_pairs(const PatchPairsArgs& a, Context& context) {
  edit_visible(a, context, [&](int64_t, int64_t at, int64_t n) { std::copy_n(a.values + at, n, a.out + at); });
}

}  // namespace golgi::GOLGI_ISA
