// Dot products with weights in `Blocks`: of the formats that experts mostly have, as they are stored; of all others pieces
// of a weight row, decoded into the first-level cache, times all rows of activations, as float32 weights are.
#pragma once

#include "dot.h"

namespace golgi::GOLGI_ISA {

/// totals[c] += piece [n_k] · row c of x.
template <int n_columns>
inline void add_dots(const float* piece, int64_t n_k, const Activations& x, float* totals) {
  const StoredRow row[1] = {{reinterpret_cast<const uint8_t*>(piece), nullptr}};
  const float* columns[n_columns];
  for (int c = 0; c < n_columns; c++) columns[c] = x[c];
  const Dots<F32, 1, n_columns> dots(F32{}, row, columns, n_k);
  for (int c = 0; c < n_columns; c++) totals[c] += dots.total(0, c);
}

inline void decoded_dots(Blocks format, const DotChunk& chunk) {
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

inline void dot_products(Blocks format, const DotChunk& chunk) {
  if (chunk.w.format == Format::q4_k && chunk.n_k <= Q4_K::max_prepared) return dot_products(Q4_K{}, chunk);
  switch (chunk.w.format) {
    case Format::q4_0: return dot_products(Q4_0{}, chunk);
    case Format::mxfp4: return dot_products(MXFP4{}, chunk);
    case Format::mxfp4_split: return dot_products(MXFP4_SPLIT{}, chunk);
    default: return decoded_dots(format, chunk);
  }
}

}  // namespace golgi::GOLGI_ISA
