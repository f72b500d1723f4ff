// Sums over the rows of a matrix [n_rows, n_columns], shared out over strips of columns and, where those are few, over
// parts of the rows. Both follow from the sizes alone, and so do the bits; sums of sums also lose the least accuracy.
#pragma once

#include <algorithm>

#include "chunks.h"

namespace golgi::GOLGI_ISA {

/// Whole blocks of every format, and long enough runs of each stored row.
constexpr int64_t strip_columns = 512;
/// Rows that are added up in float32 before anything else is added.
constexpr int64_t strip_rows = 64;

/// What one chunk adds up, for some of the sums that each column has.
struct Strip {
  int64_t first_row, end_row;
  int64_t first_column, n_columns;
  int64_t first_sum, n_sums;
};

/// out [n_sums, n_columns] = the sum over all parts of what `work(strip, to, thread)` leaves in `to`: its columns of its
/// first sum, then of others, n_columns apart.
template <class Work>
void for_strips(Context& context, int64_t n_rows, int64_t n_columns, int64_t n_sums, float* out, const Work& work) {
  constexpr int64_t n_wanted = 32, sums_per_block = 256;
  const int64_t n_strips = (n_columns + strip_columns - 1) / strip_columns;
  const int64_t n_blocks = (n_sums + sums_per_block - 1) / sums_per_block;
  const int64_t n_chunks = n_strips * n_blocks;
  if (n_chunks == 0) return;
  const int64_t n_parts = std::clamp<int64_t>(n_rows / strip_rows, 1, std::max<int64_t>(1, n_wanted / n_chunks));
  const int64_t n_out = n_sums * n_columns;
  float* parts = n_parts == 1 ? out : static_cast<float*>(context.shared_scratch(4 * n_parts * n_out));
  context.parallel(n_parts * n_chunks, [&](int64_t chunk, int thread) {
    const int64_t part = chunk / n_chunks, block = chunk / n_strips % n_blocks;
    Strip strip;
    strip.first_row = n_rows * part / n_parts;
    strip.end_row = n_rows * (part + 1) / n_parts;
    strip.first_column = chunk % n_strips * strip_columns;
    strip.n_columns = std::min(strip_columns, n_columns - strip.first_column);
    strip.first_sum = n_sums * block / n_blocks;
    strip.n_sums = n_sums * (block + 1) / n_blocks - strip.first_sum;
    work(strip, parts + part * n_out + strip.first_sum * n_columns + strip.first_column, thread);
  });
  if (n_parts == 1) return;
  for_chunks(context, n_out, elements_per_chunk / n_parts, [&](int64_t begin, int64_t end) {
    std::copy(parts + begin, parts + end, out + begin);
    for (int64_t part = 1; part < n_parts; part++) {
      map(out + begin, parts + part * n_out + begin, out + begin, end - begin, [](Floats a, Floats b) { return a + b; });
    }
  });
}

/// to = Σ f(row) over the strip's rows; `row_at(row)` gives the strip's columns of one.
template <class RowAt, class F>
inline void add_rows(const Strip& strip, float* to, const RowAt& row_at, const F& f) {
  float sums[strip_columns];
  std::fill_n(to, strip.n_columns, 0.0f);
  for (int64_t begin = strip.first_row; begin < strip.end_row; begin += strip_rows) {
    const int64_t end = std::min(strip.end_row, begin + strip_rows);
    std::fill_n(sums, strip.n_columns, 0.0f);
    for (int64_t row = begin; row < end; row++) {
      map(sums, row_at(row), sums, strip.n_columns, [&f](Floats sum, Floats x) { return sum + f(x); });
    }
    map(to, sums, to, strip.n_columns, [](Floats a, Floats b) { return a + b; });
  }
}

}  // namespace golgi::GOLGI_ISA
