// Rows of x times a weight of any format as it is stored, [out, in]: strips of a few weight rows, decoded into the panels
// that matmul/panel.h multiplies; here they need no transposing.
#include "../../../native/src/isa.h"
#include "../../../native/src/ops/column_sums.h"
#include "../matmul/panel.h"
#include "strip_reader.h"

namespace golgi::GOLGI_ISA {

namespace {

static_assert(strip_columns % panel_rows == 0);

constexpr int64_t panels_per_strip = strip_columns / panel_rows;
constexpr int64_t panel_size = strip_rows * panel_rows;

/// The strip's columns of weight rows [begin, end) as panels [strip_rows, panel_rows].
template <class F>
void pack_strip(StripReader<F>& reader, const Strip& strip, int64_t begin, int64_t end, float* panels) {
  alignas(64) float decoded[strip_columns] = {};
  for (int64_t row = begin; row < end; row++) {
    reader.decode(row, decoded);
    float* to = panels + (row - begin) * panel_rows;
    for (int64_t at = 0; at < strip.n_columns; at += panel_rows, to += panel_size) {
      for (int64_t i = 0; i < panel_rows; i += Floats::lanes) Floats::load(decoded + at + i).store(to + i);
    }
  }
}

/// Leaves the strip's part of the product in `to`.
template <class F>
void multiply_strip(F format, const MatmulTransposedArgs& a, const Strip& strip, float* to, float* scratch) {
  float* panels = scratch;
  float* sums = scratch + panels_per_strip * panel_size;  // [panel, row of x, panel_rows]
  const int64_t sums_size = strip.n_sums * panel_rows;
  const int64_t n_panels = (strip.n_columns + panel_rows - 1) / panel_rows;
  std::fill_n(sums, n_panels * sums_size, 0.0f);
  StripReader reader(format, *a.w, strip);
  for (int64_t row = strip.first_row; row < strip.end_row; row += strip_rows) {
    const int64_t end = std::min(strip.end_row, row + strip_rows);
    pack_strip(reader, strip, row, end, panels);
    const float* x = a.x + strip.first_sum * a.n_n + row;
    for (int64_t p = 0; p < n_panels; p++) {
      multiply_panel(strip.n_sums, panels + p * panel_size, end - row, x, a.n_n, sums + p * sums_size, true);
    }
  }
  for (int64_t c = 0; c < strip.n_sums; c++) {
    for (int64_t p = 0; p < n_panels; p++) {
      const int64_t n = std::min(panel_rows, strip.n_columns - p * panel_rows);
      std::copy_n(sums + p * sums_size + c * panel_rows, n, to + c * a.n_k + p * panel_rows);
    }
  }
}

}  // namespace

void matmul_transposed(const MatmulTransposedArgs& a, Context& context) {
  with_format(a.w->format, [&](auto format) {
    for_strips(context, a.n_n, a.n_k, a.n_rest, a.out, [&](const Strip& strip, float* to, int thread) {
      const int64_t n_scratch = panels_per_strip * panel_size + strip.n_sums * strip_columns;
      multiply_strip(format, a, strip, to, static_cast<float*>(context.scratch(thread, 4 * n_scratch)));
    });
  });
}

}  // namespace golgi::GOLGI_ISA
