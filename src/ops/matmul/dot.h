// Weights times a few rows of activations: dot products of weight rows as they lie in the file.
//
// The weights stream from memory once, so what counts is how they are read. One row after another is a single
// sequential stream, which hardware prefetches best. But once the activations fill half of a 32 KB first-level cache,
// the stream evicts them, and reading them again from the second level costs more than several streams do: then a few
// weight rows share each load of activations.
#pragma once

#include <algorithm>
#include <type_traits>

#include "../../../native/src/formats/format.h"
#include "../../../native/src/isa.h"
#include "rows.h"

namespace golgi::GOLGI_ISA {

/// Up to so many rows of activations, dot products beat the cost of transposing the weights.
constexpr int64_t max_dot_rows = 12;
/// So many of them at a time.
constexpr int64_t max_dot_columns = 4;

/// Sums of products of `n_rows` weight rows with `n_columns` rows of activations.
template <class F, int n_rows, int n_columns>
struct Dots {
  static constexpr int n_products = n_rows * n_columns;
  // Up to eight independent sums hide the latency of fma.
  static constexpr int n_sums = n_products > 4 ? 1 : n_products > 2 ? 2 : 4;
  static constexpr int n_unrolled = 4;
  // Far enough ahead to arrive in time, near enough to stay until used; 512 and 4096 are slower.
  static constexpr int64_t prefetch_bytes = 1536;
  // Of vectors of 16, one row of a format that takes much decoding is slower for it; of 8 it is a tenth faster.
  static constexpr bool prefetches = n_rows > 1 || F::block == Floats::lanes || Floats::lanes < 16;

  Floats sums[n_rows][n_sums][n_columns];

  /// Of elements [0, n_k).
  Dots(const F& format, const StoredRow (&rows)[n_rows], const float* const (&x)[n_columns], int64_t n_k) {
    for (auto& row : sums) for (auto& turn : row) for (Floats& sum : turn) sum = Floats::zero();
    const int64_t n_blocks = n_k / F::block;
    int64_t b = 0;
    for (; b + n_unrolled <= n_blocks; b += n_unrolled) {
      if constexpr (prefetches) prefetch_step(rows, b);
      for (int u = 0; u < n_unrolled; u++) add_block(format, rows, x, b + u, u % n_sums);
    }
    for (; b < n_blocks; b++) add_block(format, rows, x, b, 0);
    if constexpr (F::block == Floats::lanes) {
      const int64_t n = n_k - n_blocks * F::block;
      if (n > 0) add_part(rows, x, n_blocks * F::block, n);
    }
  }

  float total(int row, int column) const {
    const auto s = [&](int turn) { return sums[row][turn][column]; };
    if constexpr (n_sums == 4) return sum((s(0) + s(1)) + (s(2) + s(3)));
    if constexpr (n_sums == 2) return sum(s(0) + s(1));
    return sum(s(0));
  }

 private:
  static void prefetch_step(const StoredRow (&rows)[n_rows], int64_t b) {
    for (const StoredRow& row : rows) {
      const uint8_t* ahead = row.data + b * F::block_bytes + prefetch_bytes;
      for (int64_t line = 0; line < n_unrolled * F::block_bytes; line += 64) prefetch_far(ahead + line);
    }
  }

  void add_block(const F& format, const StoredRow (&rows)[n_rows], const float* const (&x)[n_columns], int64_t b,
                 int s) {
    for (int r = 0; r < n_rows; r++) format.add_products(rows[r], b, x, sums[r][s]);
  }

  void add_part(const StoredRow (&rows)[n_rows], const float* const (&x)[n_columns], int64_t i, int64_t n) {
    for (int r = 0; r < n_rows; r++) {
      const Floats w = F::load(rows[r].data, i, n);
      for (int c = 0; c < n_columns; c++) sums[r][0][c] = fma(w, Floats::load(x[c] + i, n), sums[r][0][c]);
    }
  }
};

/// What one chunk computes: outputs [begin, end) of at most max_dot_rows rows of activations.
struct DotChunk {
  const Weight& w;
  int64_t first_row;  ///< the weight's row for output 0
  const float* bias;  ///< of output 0; null where absent
  int64_t begin, end;
  int64_t n_k, n_columns;
  Activations x;
  Results out;

  RowReader reader() const { return {w, first_row + begin}; }
  void store(int64_t column, int64_t output, float total) const {
    out[column][output] = total + (bias ? bias[output] : 0.0f);
  }
};

/// The format, with what it has to know of these rows of activations beforehand, if anything.
template <class F, int n_columns>
inline auto prepare(F format, const float* const (&x)[n_columns], int64_t n_k) {
  if constexpr (requires { typename F::template Prepared<n_columns>; }) {
    return typename F::template Prepared<n_columns>(x, n_k);
  } else {
    return format;
  }
}

template <int n_rows, class F, int n_columns>
inline void store_dots(const F& format, const DotChunk& chunk, RowReader& reader, int64_t output,
                       const float* const (&x)[n_columns], int64_t column) {
  StoredRow rows[n_rows];
  for (int r = 0; r < n_rows; r++) rows[r] = reader.row(chunk.first_row + output + r);
  const Dots<F, n_rows, n_columns> dots(format, rows, x, chunk.n_k);
  for (int c = 0; c < n_columns; c++) {
    for (int r = 0; r < n_rows; r++) chunk.store(column + c, output + r, dots.total(r, c));
  }
}

/// The chunk's outputs of `n_columns` rows of activations.
template <int n_columns, class F>
inline void dot_columns(F format, const DotChunk& chunk, int64_t column) {
  constexpr int64_t activation_bytes = 12288;
  constexpr int n_shared = std::clamp(Floats::registers / 2 / n_columns, 1, 4);
  const float* x[n_columns];
  for (int c = 0; c < n_columns; c++) x[c] = chunk.x[column + c];
  const auto prepared = prepare(format, x, chunk.n_k);
  RowReader reader = chunk.reader();
  int64_t i = chunk.begin;
  if (n_columns * chunk.n_k * 4 > activation_bytes) {
    for (; i + n_shared <= chunk.end; i += n_shared) store_dots<n_shared>(prepared, chunk, reader, i, x, column);
  }
  for (; i < chunk.end; i++) store_dots<1>(prepared, chunk, reader, i, x, column);
}

/// Calls `work(column, n_columns)` for groups of the rows of activations, with a constant as their number.
template <class Work>
inline void for_columns(int64_t n, const Work& work) {
  for (int64_t column = 0; column < n; column += max_dot_columns) {
    switch (std::min(max_dot_columns, n - column)) {
      case 1: work(column, std::integral_constant<int, 1>{}); break;
      case 2: work(column, std::integral_constant<int, 2>{}); break;
      case 3: work(column, std::integral_constant<int, 3>{}); break;
      default: work(column, std::integral_constant<int, 4>{});
    }
  }
}

template <class F>
inline void dot_products(F format, const DotChunk& chunk) {
  // After the first columns the chunk's weights lie in the second-level cache.
  for_columns(chunk.n_columns, [&](int64_t column, auto n_columns) { dot_columns<n_columns>(format, chunk, column); });
}

/// How many of `n_outputs` outputs, whose weight rows have `row_bytes`, make a chunk.
inline int64_t outputs_per_chunk(int64_t n_outputs, int64_t row_bytes) {
  // Every chunk begins with a pause until memory answers, so chunks are as long as sharing out evenly allows.
  const int64_t chunk_bytes = std::clamp<int64_t>(n_outputs * row_bytes / 64, 65536, 262144);
  // Whole cache lines of outputs.
  return (chunk_bytes / std::max<int64_t>(1, row_bytes) + 15) / 16 * 16;
}

}  // namespace golgi::GOLGI_ISA
