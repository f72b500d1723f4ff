// Dot products with weights that have no kernels of their own: pieces of a weight row, decoded into the first-level
// cache, times all rows of activations, as float32 weights are.
#pragma once

#include "dot.h"

namespace golgi::GOLGI_ISA {

/// totals[c] += piece [n_k] · row c of x.
template <int n_columns>
inline void add_dots(const float* piece, int64_t n_k, const float* x, int64_t x_stride, float* totals) {
  const uint8_t* const row[1] = {reinterpret_cast<const uint8_t*>(piece)};
  const Dots<F32, 1, n_columns> dots(row, x, x_stride, n_k);
  for (int c = 0; c < n_columns; c++) totals[c] += dots.total(0, c);
}

/// For at most max_dot_rows rows of activations.
inline void dot_matmul(Blocks format, const MatmulArgs& a, Context& context) {
  // Together with as much of four rows of activations half of a first-level cache.
  constexpr int64_t piece_elements = 768;
  static_assert(piece_elements % max_block == 0);
  for_outputs(a, format.bytes(a.n_k), context, [&](int64_t begin, int64_t end) {
    alignas(64) float piece[piece_elements];
    RowReader reader(*a.w, begin);
    for (int64_t row = begin; row < end; row++) {
      const uint8_t* stored = reader.row(row);
      float totals[max_dot_rows] = {};
      for (int64_t k = 0; k < a.n_k; k += piece_elements) {
        const int64_t n = std::min(piece_elements, a.n_k - k);
        format.decode(stored + format.bytes(k), n / format.block, piece);
        for_columns(a.n_rest, [&](int64_t column, auto n_columns) {
          add_dots<n_columns>(piece, n, a.x + column * a.n_k + k, a.n_k, totals + column);
        });
      }
      for (int64_t c = 0; c < a.n_rest; c++) a.out[c * a.n_n + row] = totals[c] + (a.bias ? a.bias[row] : 0.0f);
    }
  });
}

}  // namespace golgi::GOLGI_ISA
