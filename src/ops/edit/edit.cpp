#include "../../../native/src/isa.h"
#include "../../../native/src/ops/edits.h"

namespace golgi::GOLGI_ISA {

void edit(const EditArgs& a, Context& context) {
  const int64_t row_size = a.n_pieces * a.piece_size;
  for_rows(context, a.n_T, row_size, [&](int64_t t) {
    float* out = a.out + t * row_size;
    std::copy_n(a.x + t * row_size, row_size, out);
    if (a.active[t] != 0) edit_row(a, out, a.index[t], a.operand + t * a.n_w);
  });
}

}  // namespace golgi::GOLGI_ISA
