// Where the rows of a product lie: those of a weight, those of activations and those of results.
#pragma once

#include "../../../native/src/isa.h"

namespace golgi::GOLGI_ISA {

/// Where rows lie, asked for in ascending order, without searching the segments for each.
class RowReader {
 public:
  RowReader(const Weight& w, int64_t first) : segment_(&w.segment_of(first)) {}

  StoredRow row(int64_t r) {
    while (r - segment_->first_row >= segment_->n_rows) segment_++;
    return segment_->row(r - segment_->first_row);
  }

 private:
  const Segment* segment_;
};

/// Rows of float32 that lie `stride` apart, in order or as a list names them.
template <class Element>
struct RowList {
  Element* first;
  int64_t stride;
  const int32_t* names = nullptr;  ///< null: 0, 1, 2, ...

  Element* operator[](int64_t i) const { return first + (names ? names[i] : i) * stride; }

  /// From row `row` on, and of each row from element `at` on.
  RowList from(int64_t row, int64_t at) const {
    if (names) return {first + at, stride, names + row};
    return {first + row * stride + at, stride};
  }
};

using Activations = RowList<const float>;
using Results = RowList<float>;

}  // namespace golgi::GOLGI_ISA
