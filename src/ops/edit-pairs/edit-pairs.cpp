#include "../../../native/src/isa.h"
#include "../../../native/src/ops/edits.h"

namespace golgi::GOLGI_ISA {

void edit_pairs(const EditPairsArgs& a, Context& context) {
  edit_visible(a, context, [&](int64_t row, int64_t at, int64_t n) {
    float* x = a.out + at;
    const float* o = a.operand + row * a.n_w;
    const Floats first = Floats::all(o[0]);
    switch (a.kind) {
      case EditPairsArgs::Kind::set: return map(x, x, n, [first](Floats) { return first; });
      case EditPairsArgs::Kind::add: return map(x, x, n, [first](Floats v) { return v + first; });
      case EditPairsArgs::Kind::scale: return map(x, x, n, [first](Floats v) { return v * first; });
      case EditPairsArgs::Kind::clamp:
        return map(x, x, n, [first, high = Floats::all(o[1])](Floats v) { return clamped(v, first, high); });
    }
  });
}

}  // namespace golgi::GOLGI_ISA
