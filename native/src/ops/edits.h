// What edits of rows and edits of scores share.
#pragma once

#include "sums.h"

namespace golgi::GOLGI_ISA {

/// A NaN is within any bounds, and a zero keeps its sign.
inline Floats clamped(Floats x, Floats low, Floats high) {
  return select_less(x, low, low, select_less(high, x, high, x));
}

/// x = f(x, o) for [0, n), with one number of `o` for all or, where n_o is not 1, one for each.
template <class F>
inline void change(float* x, int64_t n, const float* o, int64_t n_o, const F& f) {
  if (n_o == 1) map(x, x, n, [o = Floats::all(*o), &f](Floats v) { return f(v, o); });
  else map(x, o, x, n, f);
}

/// Takes away the part of x along a direction.
inline void project_out(float* x, const float* direction, int64_t n) {
  const float along = dot_of(x, direction, n) / sum_of_squares(direction, n);
  map(x, direction, x, n, [along = Floats::all(along)](Floats v, Floats d) { return v - along * d; });
}

/// Changes n elements of x, which are whole pieces.
template <class Args>
void edit_pieces(const Args& a, float* x, int64_t n, const float* o) {
  using Kind = typename Args::Kind;
  const auto each = [&](const auto& f) {
    // One number is the same for all pieces.
    const int64_t size = a.n_w == 1 ? n : a.piece_size;
    for (int64_t at = 0; at < n; at += size) change(x + at, size, o, a.n_w, f);
  };
  switch (a.kind) {
    case Kind::set: return each([](Floats, Floats y) { return y; });
    case Kind::add: return each([](Floats v, Floats y) { return v + y; });
    case Kind::scale: return each([](Floats v, Floats y) { return v * y; });
    case Kind::clamp:
      return map(x, x, n, [low = Floats::all(o[0]), high = Floats::all(o[1])](Floats v) {
        return clamped(v, low, high);
      });
    case Kind::project_out:
      for (int64_t at = 0; at < n; at += a.piece_size) project_out(x + at, o, a.piece_size);
  }
}

/// Changes one piece of a row, or all of them where `piece` is negative.
template <class Args>
void edit_row(const Args& a, float* row, int64_t piece, const float* o) {
  if (piece >= 0) edit_pieces(a, row + piece * a.piece_size, a.piece_size, o);
  else edit_pieces(a, row, a.n_pieces * a.piece_size, o);
}

/// Copies scores or weights x [H, P] to out and calls `edit(row, at, n)` for what is to change there of each row: n
/// elements from `at` on.
template <class Args, class Edit>
void edit_visible(const Args& a, Context& context, const Edit& edit) {
  const VisibleKeys& visible = a.rows->visible(a.window);
  const int64_t keys_per_row = a.n_P / std::max<int64_t>(1, a.n_T);
  for_rows(context, a.n_H * a.n_T, keys_per_row, [&](int64_t i) {
    const int64_t head = i / a.n_T, row = i % a.n_T;
    const int64_t begin = head * a.n_P + visible.offset[row];
    const int64_t n_keys = visible.offset[row + 1] - visible.offset[row];
    std::copy_n(a.x + begin, n_keys, a.out + begin);
    if (a.active[row] == 0 || (a.head[row] >= 0 && a.head[row] != head)) return;
    if (a.key[row] < 0) return edit(row, begin, n_keys);
    const int64_t key = a.key[row] - visible.first[row];
    if (key >= 0 && key < n_keys) edit(row, begin + key, 1);
  });
}

}  // namespace golgi::GOLGI_ISA
