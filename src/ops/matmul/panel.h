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
inline void pack_rows(const StoredRow* rows, int64_t n_rows, int64_t begin, int64_t end, float* panel) {
  Floats square[Floats::lanes];
  for (int64_t i = begin; i < end; i += Floats::lanes) {
    const int64_t n = std::min(Floats::lanes, end - i);
    for (int64_t r = 0; r < Floats::lanes; r++) {
      if (r >= n_rows) square[r] = Floats::zero();
      else if (n == Floats::lanes) square[r] = F::load(rows[r].data, i);
      else square[r] = F::load(rows[r].data, i, n);
    }
    transpose(square);
    for (int64_t c = 0; c < n; c++) square[c].store(panel + (i - begin + c) * panel_rows);
  }
}

/// What the next panel of these rows needs arrives while this one is multiplied.
template <class F>
inline void prefetch_next(F format, const StoredRow* rows, int64_t n_rows, int64_t end) {
  for (int64_t r = 0; r < n_rows; r++) {
    const uint8_t* next = rows[r].data + format.bytes(end);
    for (int64_t b = 0; b < format.bytes(panel_depth(format.block)); b += 64) prefetch_far(next + b);
  }
}

/// Elements [begin, end) of `n_rows` weight rows, of which `begin` begins a block, into panel [end - begin, panel_rows];
/// rows beyond n_rows are 0.
template <class F>
inline void pack_panel(F format, const StoredRow* rows, int64_t n_rows, int64_t begin, int64_t end, float* panel) {
  for (int64_t first = 0; first < panel_rows; first += Floats::lanes) {
    const int64_t n = std::clamp<int64_t>(n_rows - first, 0, Floats::lanes);
    prefetch_next(format, rows + first, n, end);
    pack_rows<F>(rows + first, n, begin, end, panel + first);
  }
}
inline void pack_panel(Blocks format, const StoredRow* rows, int64_t n_rows, int64_t begin, int64_t end, float* panel) {
  alignas(64) float decoded[Floats::lanes][panel_depth(max_block)];
  StoredRow decoded_rows[Floats::lanes];
  for (int64_t first = 0; first < panel_rows; first += Floats::lanes) {
    const int64_t n = std::clamp<int64_t>(n_rows - first, 0, Floats::lanes);
    prefetch_next(format, rows + first, n, end);
    for (int64_t r = 0; r < n; r++) {
      format.decode(rows[first + r], begin, end - begin, decoded[r]);
      decoded_rows[r] = {reinterpret_cast<const uint8_t*>(decoded[r]), nullptr};
    }
    pack_rows<F32>(decoded_rows, n, 0, end - begin, panel + first);
  }
}

/// sums [n_columns, panel_rows] = or += panel · n_columns rows of x, over n_k elements.
template <int n_columns>
inline void multiply_tile(const float* panel, int64_t n_k, const Activations& x, float* sums, bool add) {
  const float* columns[n_columns];
  for (int c = 0; c < n_columns; c++) columns[c] = x[c];
  Floats acc[n_columns][panel_vectors];
  for (auto& column : acc) for (Floats& v : column) v = Floats::zero();
  for (int64_t k = 0; k < n_k; k++) {
    Floats w[panel_vectors];
    for (int v = 0; v < panel_vectors; v++) w[v] = Floats::load(panel + k * panel_rows + v * Floats::lanes);
    for (int c = 0; c < n_columns; c++) {
      const Floats value = Floats::all(columns[c][k]);
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
inline void multiply_columns(int64_t n, const float* panel, int64_t n_k, const Activations& x, float* sums, bool add) {
  if (n == n_columns) return multiply_tile<n_columns>(panel, n_k, x, sums, add);
  if constexpr (n_columns > 1) multiply_columns<n_columns - 1>(n, panel, n_k, x, sums, add);
}

/// multiply_tile for any number of columns, in tiles of nearly equal width.
inline void multiply_panel(int64_t n_columns, const float* panel, int64_t n_k, const Activations& x, float* sums,
                           bool add) {
  const int64_t n_tiles = (n_columns + tile_columns - 1) / tile_columns;
  int64_t column = 0;
  for (int64_t tile = 0; tile < n_tiles; tile++) {
    const int64_t end = n_columns * (tile + 1) / n_tiles;
    multiply_columns(end - column, panel, n_k, x.from(column, 0), sums + column * panel_rows, add);
    column = end;
  }
}

/// How a product is shared out: panels of outputs times blocks of rows of activations.
struct PanelGrid {
  int64_t n_outputs, n_columns;
  int64_t n_panels, n_blocks;

  PanelGrid(int64_t n_outputs, int64_t n_columns)
      : n_outputs(n_outputs), n_columns(n_columns), n_panels((n_outputs + panel_rows - 1) / panel_rows) {
    // The sums of a block stay in the second-level cache; smaller ones where panels alone are few to share out, as long
    // as their packing still pays.
    n_blocks = std::max((n_columns + 255) / 256, std::min(n_columns / 96, (n_panels + 23) / n_panels));
  }

  int64_t n_chunks() const { return n_panels * n_blocks; }
};

/// One chunk of a product: some outputs of some rows of activations, and where it leaves their sums.
struct PanelChunk {
  int64_t first_output, n_rows;
  int64_t first_column, n_columns;
  StoredRow rows[panel_rows];
  float* panel;
  float* sums;  ///< [n_columns, panel_rows]

  /// Of the matrix whose first row is row `first_row` of `w`.
  PanelChunk(const PanelGrid& grid, int64_t index, const Weight& w, int64_t first_row, Context& context, int thread) {
    constexpr int64_t panel_size = panel_depth(max_block) * panel_rows;
    first_output = index / grid.n_blocks * panel_rows;
    n_rows = std::min(panel_rows, grid.n_outputs - first_output);
    const int64_t block = index % grid.n_blocks;
    first_column = grid.n_columns * block / grid.n_blocks;
    n_columns = grid.n_columns * (block + 1) / grid.n_blocks - first_column;
    panel = static_cast<float*>(context.scratch(thread, (panel_size + n_columns * panel_rows) * 4));
    sums = panel + panel_size;
    RowReader reader(w, first_row + first_output);
    for (int64_t r = 0; r < n_rows; r++) rows[r] = reader.row(first_row + first_output + r);
  }

  /// sums = elements [begin, end) of the weight rows · rows of x, whose first element belongs to `begin`.
  template <class F>
  void multiply(F format, int64_t begin, int64_t end, const Activations& x) const {
    for (int64_t k = begin; k < end;) {
      const int64_t start = k / format.block * format.block;
      const int64_t stop = std::min(end, start + panel_depth(format.block));
      pack_panel(format, rows, n_rows, start, stop, panel);
      multiply_panel(n_columns, panel + (k - start) * panel_rows, stop - k, x.from(first_column, k - begin), sums,
                     k > begin);
      k = stop;
    }
  }

  /// The sums, plus the bias of their outputs unless it is null.
  void store(const float* bias, const Results& out) const {
    for (int64_t c = 0; c < n_columns; c++) {
      float* to = out[first_column + c] + first_output;
      for (int64_t r = 0; r < n_rows; r += Floats::lanes) {
        const int64_t n = std::min(Floats::lanes, n_rows - r);
        Floats y = Floats::load(sums + c * panel_rows + r);
        if (bias) y += Floats::load(bias + first_output + r, n);
        y.store(to + r, n);
      }
    }
  }
};

/// Calls `work(chunk)` for panels of `w` times blocks of `n_columns` rows of activations.
template <class Work>
void for_panels(const Weight& w, int64_t n_outputs, int64_t n_columns, Context& context, const Work& work) {
  const PanelGrid grid(n_outputs, n_columns);
  context.parallel(grid.n_chunks(), [&](int64_t index, int thread) {
    work(PanelChunk(grid, index, w, 0, context, thread));
  });
}

}  // namespace golgi::GOLGI_ISA
