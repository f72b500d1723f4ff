#include "../../../native/src/isa.h"
#include "../../../native/src/ops/edits.h"
#include "../../../native/src/ops/sums.h"

namespace golgi::GOLGI_ISA {

namespace {

/// Takes away the part of x along a direction.
void project_out(float* x, const float* direction, int64_t n) {
  const float along = dot_of(x, direction, n) / sum_of_squares(direction, n);
  map(x, direction, x, n, [along = Floats::all(along)](Floats v, Floats d) { return v - along * d; });
}

/// Changes n elements, which are whole pieces.
void edit_pieces(const EditArgs& a, float* x, int64_t n, const float* o) {
  const auto each = [&](const auto& f) {
    // One number is the same for all pieces.
    const int64_t size = a.n_w == 1 ? n : a.piece_size;
    for (int64_t at = 0; at < n; at += size) change(x + at, size, o, a.n_w, f);
  };
  switch (a.kind) {
    case EditArgs::Kind::set: return each([](Floats, Floats y) { return y; });
    case EditArgs::Kind::add: return each([](Floats v, Floats y) { return v + y; });
    case EditArgs::Kind::scale: return each([](Floats v, Floats y) { return v * y; });
    case EditArgs::Kind::clamp:
      return map(x, x, n, [low = Floats::all(o[0]), high = Floats::all(o[1])](Floats v) {
        return clamped(v, low, high);
      });
    case EditArgs::Kind::project_out:
      for (int64_t at = 0; at < n; at += a.piece_size) project_out(x + at, o, a.piece_size);
  }
}

}  // namespace

void edit(const EditArgs& a, Context& context) {
  const int64_t row_size = a.n_pieces * a.piece_size;
  for_rows(context, a.n_T, row_size, [&](int64_t t) {
    float* out = a.out + t * row_size;
    std::copy_n(a.x + t * row_size, row_size, out);
    if (a.active[t] == 0) return;
    const bool is_one = a.index[t] >= 0;
    edit_pieces(a, out + (is_one ? a.index[t] * a.piece_size : 0), is_one ? a.piece_size : row_size,
                a.operand + t * a.n_w);
  });
}

}  // namespace golgi::GOLGI_ISA
