// What edits of rows and edits of scores share.
#pragma once

#include "chunks.h"

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
