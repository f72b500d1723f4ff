// Dot products with weights that have no kernels of their own: pieces of a weight row, decoded into the first-level
// cache, times all rows of activations, as float32 weights are.
#pragma once

#include "dot.h"

namespace golgi::GOLGI_ISA {

/// totals[c] += piece [n_k] · row c of x.
template <int n_columns>
inline void add_dots(const float* piece, int64_t n_k, const Activations& x, float* totals) {
  const uint8_t* const row[1] = {reinterpret_cast<const uint8_t*>(piece)};
  const float* columns[n_columns];
  for (int c = 0; c < n_columns; c++) columns[c] = x[c];
  const Dots<F32, 1, n_columns> dots(row, columns, n_k);
  for (int c = 0; c < n_columns; c++) totals[c] += dots.total(0, c);
}

inline void dot_products(Blocks format, const DotChunk& chunk) {
  // Together with as much of four rows of activations half of a first-level cache.
  constexpr int64_t piece_elements = 768;
  static_assert(piece_elements % max_block == 0);
  alignas(64) float piece[piece_elements];
  RowReader reader = chunk.reader();
  for (int64_t i = chunk.begin; i < chunk.end; i++) {
    const StoredRow stored = reader.row(chunk.first_row + i);
    float totals[max_dot_rows] = {};
    for (int64_t k = 0; k < chunk.n_k; k += piece_elements) {
      const int64_t n = std::min(piece_elements, chunk.n_k - k);
      format.decode(stored, k, n, piece);
      for_columns(chunk.n_columns, [&](int64_t column, auto n_columns) {
        add_dots<n_columns>(piece, n, chunk.x.from(column, k), totals + column);
      });
    }
    for (int64_t c = 0; c < chunk.n_columns; c++) chunk.store(c, i, totals[c]);
  }
}

}  // namespace golgi::GOLGI_ISA
