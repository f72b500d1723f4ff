// Weights times many rows of activations: panels of weight rows, decoded and transposed into the first-level cache a
// few columns at a time, times tiles of activation rows whose sums stay in registers (Goto and van de Geijn 2008,
// doi:10.1145/1356052.1356053).
//
// An output is the sum over panels of sums over their columns in order, so a row of activations gives the same bits
// whichever rows it is multiplied with.
#pragma once

#include <algorithm>

#include "../../../native/src/formats/format.h"
#include "../../../native/src/isa.h"
#include "rows.h"

namespace golgi::GOLGI_ISA {

// Tiles as large as the registers hold, with room for the weights; panels that fit the first-level cache.
constexpr int panel_vectors = Floats::registers >= 32 ? 4 : 2;
constexpr int tile_columns = Floats::registers >= 16 ? 6 : 4;
constexpr int64_t panel_rows = panel_vectors * Floats::lanes;
constexpr int64_t least_panel_depth = Floats::lanes >= 16 ? 128 : 256;

/// Columns of one panel: whole blocks, though with 16 lanes those of 256 take it beyond the first-level cache.
constexpr int64_t panel_depth(int64_t block) { return std::max(least_panel_depth, block); }

/// Elements [begin, end) of up to `lanes` weight rows into as many rows of panel [end - begin, panel_rows]; rows beyond
/// n_rows are 0.
template <class F>
inline void pack_rows(const uint8_t* const* rows, int64_t n_rows, int64_t begin, int64_t end, float* panel) {
  Floats square[Floats::lanes];
  for (int64_t i = begin; i < end; i += Floats::lanes) {
    const int64_t n = std::min(Floats::lanes, end - i);
    for (int64_t r = 0; r < Floats::lanes; r++) {
      if (r >= n_rows) square[r] = Floats::zero();
      else if (n == Floats::lanes) square[r] = F::load(rows[r], i);
      else square[r] = F::load(rows[r], i, n);
    }
    transpose(square);
    for (int64_t c = 0; c < n; c++) square[c].store(panel + (i - begin + c) * panel_rows);
  }
}

/// What the next panel of these rows needs arrives while this one is multiplied.
template <class F>
inline void prefetch_next(F format, const uint8_t* const* rows, int64_t n_rows, int64_t end) {
  for (int64_t r = 0; r < n_rows; r++) {
    const uint8_t* next = rows[r] + format.bytes(end);
    for (int64_t b = 0; b < format.bytes(panel_depth(format.block)); b += 64) prefetch_far(next + b);
  }
}

/// Elements [begin, end) of `n_rows` weight rows, of which `begin` begins a block, into panel [end - begin, panel_rows];
/// rows beyond n_rows are 0.
template <class F>
inline void pack_panel(F format, const uint8_t* const* rows, int64_t n_rows, int64_t begin, int64_t end,
                       float* panel) {
  for (int64_t first = 0; first < panel_rows; first += Floats::lanes) {
    const int64_t n = std::clamp<int64_t>(n_rows - first, 0, Floats::lanes);
    prefetch_next(format, rows + first, n, end);
    pack_rows<F>(rows + first, n, begin, end, panel + first);
  }
}
inline void pack_panel(Blocks format, const uint8_t* const* rows, int64_t n_rows, int64_t begin, int64_t end,
                       float* panel) {
  alignas(64) float decoded[Floats::lanes][panel_depth(max_block)];
  const uint8_t* decoded_rows[Floats::lanes];
  for (int64_t first = 0; first < panel_rows; first += Floats::lanes) {
    const int64_t n = std::clamp<int64_t>(n_rows - first, 0, Floats::lanes);
    prefetch_next(format, rows + first, n, end);
    for (int64_t r = 0; r < n; r++) {
      const int64_t n_blocks = (end - begin + format.block - 1) / format.block;
      format.decode(rows[first + r] + format.bytes(begin), n_blocks, decoded[r]);
      decoded_rows[r] = reinterpret_cast<const uint8_t*>(decoded[r]);
    }
    pack_rows<F32>(decoded_rows, n, 0, end - begin, panel + first);
  }
}

/// sums [n_columns, panel_rows] = or += panel · n_columns rows of x, over n_k elements.
template <int n_columns>
inline void multiply_tile(const float* panel, int64_t n_k, const float* x, int64_t x_stride, float* sums, bool add) {
  Floats acc[n_columns][panel_vectors];
  for (auto& column : acc) for (Floats& v : column) v = Floats::zero();
  for (int64_t k = 0; k < n_k; k++) {
    Floats w[panel_vectors];
    for (int v = 0; v < panel_vectors; v++) w[v] = Floats::load(panel + k * panel_rows + v * Floats::lanes);
    for (int c = 0; c < n_columns; c++) {
      const Floats value = Floats::all(x[c * x_stride + k]);
      for (int v = 0; v < panel_vectors; v++) acc[c][v] = fma(w[v], value, acc[c][v]);
    }
  }
  for (int c = 0; c < n_columns; c++) {
    for (int v = 0; v < panel_vectors; v++) {
      float* to = sums + c * panel_rows + v * Floats::lanes;
      (add ? Floats::load(to) + acc[c][v] : acc[c][v]).store(to);
    }
  }
}

/// multiply_tile for a number of columns known only when run.
template <int n_columns = tile_columns>
inline void multiply_columns(int64_t n, const float* panel, int64_t n_k, const float* x, int64_t x_stride, float* sums,
                             bool add) {
  if (n == n_columns) return multiply_tile<n_columns>(panel, n_k, x, x_stride, sums, add);
  if constexpr (n_columns > 1) multiply_columns<n_columns - 1>(n, panel, n_k, x, x_stride, sums, add);
}

/// multiply_tile for any number of columns, in tiles of nearly equal width.
inline void multiply_panel(int64_t n_columns, const float* panel, int64_t n_k, const float* x, int64_t x_stride,
                           float* sums, bool add) {
  const int64_t n_tiles = (n_columns + tile_columns - 1) / tile_columns;
  int64_t column = 0;
  for (int64_t tile = 0; tile < n_tiles; tile++) {
    const int64_t end = n_columns * (tile + 1) / n_tiles;
    multiply_columns(end - column, panel, n_k, x + column * x_stride, x_stride, sums + column * panel_rows, add);
    column = end;
  }
}

/// Where one chunk of a product leaves its sums: some outputs of some rows of activations.
struct PanelChunk {
  int64_t first_row, n_rows;
  int64_t first_column, n_columns;
  const uint8_t* rows[panel_rows];
  float* panel;
  float* sums;  ///< [n_columns, panel_rows]

  /// sums = elements [begin, end) of the weight rows · rows of x, whose first element belongs to `begin`.
  template <class F>
  void multiply(F format, int64_t begin, int64_t end, const float* x, int64_t x_stride) const {
    for (int64_t k = begin; k < end;) {
      const int64_t start = k / format.block * format.block;
      const int64_t stop = std::min(end, start + panel_depth(format.block));
      pack_panel(format, rows, n_rows, start, stop, panel);
      multiply_panel(n_columns, panel + (k - start) * panel_rows, stop - k, x + first_column * x_stride + k - begin,
                     x_stride, sums, k > begin);
      k = stop;
    }
  }

  /// To out, of which consecutive rows lie `out_stride` apart.
  void store(const float* bias, float* out, int64_t out_stride) const {
    for (int64_t c = 0; c < n_columns; c++) {
      for (int64_t r = 0; r < n_rows; r += Floats::lanes) {
        const int64_t n = std::min(Floats::lanes, n_rows - r);
        Floats y = Floats::load(sums + c * panel_rows + r);
        if (bias) y += Floats::load(bias + first_row + r, n);
        y.store(out + (first_column + c) * out_stride + first_row + r, n);
      }
    }
  }
};

/// Calls `work(chunk)` for panels of `w` times blocks of `n_columns` rows of activations.
template <class Work>
void for_panels(const Weight& w, int64_t n_outputs, int64_t n_columns, Context& context, const Work& work) {
  constexpr int64_t panel_size = panel_depth(max_block) * panel_rows;
  const int64_t n_panels = (n_outputs + panel_rows - 1) / panel_rows;
  // The sums of a block stay in the second-level cache; smaller ones where panels alone are few to share out, as long
  // as their packing still pays.
  const int64_t n_blocks = std::max((n_columns + 255) / 256, std::min(n_columns / 96, (n_panels + 23) / n_panels));
  context.parallel(n_panels * n_blocks, [&](int64_t index, int thread) {
    PanelChunk chunk;
    chunk.first_row = index / n_blocks * panel_rows;
    chunk.n_rows = std::min(panel_rows, n_outputs - chunk.first_row);
    const int64_t block = index % n_blocks;
    chunk.first_column = n_columns * block / n_blocks;
    chunk.n_columns = n_columns * (block + 1) / n_blocks - chunk.first_column;
    const int64_t n_sums = chunk.n_columns * panel_rows;
    chunk.panel = static_cast<float*>(context.scratch(thread, (panel_size + n_sums) * 4));
    chunk.sums = chunk.panel + panel_size;
    RowReader reader(w, chunk.first_row);
    for (int64_t r = 0; r < chunk.n_rows; r++) chunk.rows[r] = reader.row(chunk.first_row + r);
    work(chunk);
  });
}

}  // namespace golgi::GOLGI_ISA
