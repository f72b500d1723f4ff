// Walking through the stored rows of a weight in ascending order.
#pragma once

#include "../../../native/src/isa.h"

namespace golgi::GOLGI_ISA {

/// Where rows lie, asked for in ascending order, without searching the segments for each.
class RowReader {
 public:
  RowReader(const Weight& w, int64_t first) : segment_(&w.segment_of(first)) {}

  const uint8_t* row(int64_t r) {
    while (r - segment_->first_row >= segment_->n_rows) segment_++;
    const int64_t i = r - segment_->first_row;
    return segment_->data + (segment_->stored_row ? segment_->stored_row[i] : i) * segment_->row_bytes;
  }

 private:
  const Segment* segment_;
};

}  // namespace golgi::GOLGI_ISA
