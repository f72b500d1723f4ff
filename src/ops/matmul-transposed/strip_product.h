// Rows of x times strips of a weight as it is stored, [out, in]: a few weight rows at a time, decoded into the panels
// that matmul/panel.h multiplies; here they need no transposing.
#pragma once

#include "../matmul/panel.h"
#include "strip_reader.h"

namespace golgi::GOLGI_ISA {

static_assert(strip_columns % panel_rows == 0);

constexpr int64_t panels_per_strip = strip_columns / panel_rows;
constexpr int64_t strip_panel_size = strip_rows * panel_rows;

/// Floats that the product of a strip with `n_sums` rows of x takes as scratch.
constexpr int64_t strip_scratch_size(int64_t n_sums) {
  return panels_per_strip * strip_panel_size + n_sums * strip_columns;
}

/// The strip's columns of weight rows [begin, end) as panels [strip_rows, panel_rows].
template <class F>
void pack_strip(StripReader<F>& reader, const Strip& strip, int64_t begin, int64_t end, float* panels) {
  alignas(64) float decoded[strip_columns] = {};
  for (int64_t row = begin; row < end; row++) {
    reader.decode(row, decoded);
    float* to = panels + (row - begin) * panel_rows;
    for (int64_t at = 0; at < strip.n_columns; at += panel_rows, to += strip_panel_size) {
      for (int64_t i = 0; i < panel_rows; i += Floats::lanes) Floats::load(decoded + at + i).store(to + i);
    }
  }
}

/// to = the strip's part of the product with `strip.n_sums` rows of x. The first element of x belongs to the strip's
/// first row, that of `to` to its first column.
template <class F>
void multiply_strip(F format, const Weight& w, const Strip& strip, const Activations& x, const Results& to,
                    float* scratch) {
  float* panels = scratch;
  float* sums = scratch + panels_per_strip * strip_panel_size;  // [panel, row of x, panel_rows]
  const int64_t sums_size = strip.n_sums * panel_rows;
  const int64_t n_panels = (strip.n_columns + panel_rows - 1) / panel_rows;
  std::fill_n(sums, n_panels * sums_size, 0.0f);
  StripReader reader(format, w, strip);
  for (int64_t row = strip.first_row; row < strip.end_row; row += strip_rows) {
    const int64_t end = std::min(strip.end_row, row + strip_rows);
    pack_strip(reader, strip, row, end, panels);
    const Activations part = x.from(0, row - strip.first_row);
    for (int64_t p = 0; p < n_panels; p++) {
      multiply_panel(strip.n_sums, panels + p * strip_panel_size, end - row, part, sums + p * sums_size, true);
    }
  }
  for (int64_t c = 0; c < strip.n_sums; c++) {
    for (int64_t p = 0; p < n_panels; p++) {
      const int64_t n = std::min(panel_rows, strip.n_columns - p * panel_rows);
      std::copy_n(sums + p * sums_size + c * panel_rows, n, to[c] + p * panel_rows);
    }
  }
}

}  // namespace golgi::GOLGI_ISA
