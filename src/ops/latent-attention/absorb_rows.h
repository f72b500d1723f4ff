// A few rows of x times the rows of a weight, Σ x[r] · w[r]: weight rows are taken in order, one or two at a time, and
// added to sums that stay in the first-level cache. For many rows of x there is matmul-transposed/strip_product.h.
#pragma once

#include "../../../native/src/formats/format.h"
#include "../../../native/src/isa.h"
#include "../../../native/src/ops/attention_tile.h"
#include "../matmul/rows.h"

namespace golgi::GOLGI_ISA {

/// Columns that are decoded at a time where a format cannot be multiplied as it is stored.
constexpr int64_t absorbed_columns = 512;
static_assert(absorbed_columns % max_block == 0);

/// out[c] += Σ x[c][r] · rows[r], of n elements.
template <class F, int n_rows, int n_columns>
inline void add_scaled(const uint8_t* const (&rows)[n_rows], int64_t n, const Activations& x, const Results& out) {
  Floats factors[n_rows][n_columns];
  float* to[n_columns];
  unrolled<n_columns>([&](auto c) {
    to[c] = out[c];
    unrolled<n_rows>([&](auto r) { factors[r][c] = Floats::all(x[c][r]); });
  });
  const auto add = [&](int64_t i, auto... count) {
    Floats sums[n_columns];
    unrolled<n_columns>([&](auto c) { sums[c] = Floats::load(to[c] + i, count...); });
    unrolled<n_rows>([&](auto r) {
      const Floats w = F::load(rows[r], i, count...);
      unrolled<n_columns>([&](auto c) { sums[c] = fma(factors[r][c], w, sums[c]); });
    });
    unrolled<n_columns>([&](auto c) { sums[c].store(to[c] + i, count...); });
  };
  int64_t i = 0;
  for (; i + Floats::lanes <= n; i += Floats::lanes) add(i);
  if (i < n) add(i, n - i);
}

/// As add_scaled, for `n_x` rows of x.
template <class F, int n_rows>
inline void add_to_all(const uint8_t* const (&rows)[n_rows], int64_t n, int64_t n_x, const Activations& x,
                       const Results& out) {
  int64_t c = 0;
  for (; c + 2 <= n_x; c += 2) add_scaled<F, n_rows, 2>(rows, n, x.from(c, 0), out.from(c, 0));
  if (c < n_x) add_scaled<F, n_rows, 1>(rows, n, x.from(c, 0), out.from(c, 0));
}

/// As add_to_all, of stored rows.
template <int n_rows, class F>
inline void add_stored(F, const StoredRow (&rows)[n_rows], int64_t n, int64_t n_x, const Activations& x,
                       const Results& out) {
  const uint8_t* data[n_rows];
  for (int r = 0; r < n_rows; r++) data[r] = rows[r].data;
  add_to_all<F>(data, n, n_x, x, out);
}
template <int n_rows>
inline void add_stored(Blocks format, const StoredRow (&rows)[n_rows], int64_t n, int64_t n_x, const Activations& x,
                       const Results& out) {
  alignas(64) float decoded[n_rows][absorbed_columns];
  const uint8_t* data[n_rows];
  for (int r = 0; r < n_rows; r++) data[r] = reinterpret_cast<const uint8_t*>(decoded[r]);
  for (int64_t begin = 0; begin < n; begin += absorbed_columns) {
    const int64_t n_part = std::min(absorbed_columns, n - begin);
    for (int r = 0; r < n_rows; r++) decode_row(format, rows[r], begin, n_part, decoded[r]);
    add_to_all<F32>(data, n_part, n_x, x, out.from(0, begin));
  }
}

/// out = `n_x` rows of x times rows [first_row, first_row + n_rows) of `w` as it is stored.
template <class F>
void absorb_rows(F format, const Weight& w, int64_t first_row, int64_t n_rows, int64_t n_x, const Activations& x,
                 const Results& out) {
  for (int64_t c = 0; c < n_x; c++) std::fill_n(out[c], w.n_cols, 0.0f);
  RowReader reader(w, first_row);
  int64_t r = 0;
  // A single row of x is done before memory gives the next weight row: one row after another is the longest run.
  for (; n_x > 1 && r + 2 <= n_rows; r += 2) {
    const StoredRow first = reader.row(first_row + r), second = reader.row(first_row + r + 1);
    add_stored<2>(format, {first, second}, w.n_cols, n_x, x.from(0, r), out);
  }
  for (; r < n_rows; r++) add_stored<1>(format, {reader.row(first_row + r)}, w.n_cols, n_x, x.from(0, r), out);
}

}  // namespace golgi::GOLGI_ISA
