// The columns of a strip, decoded row by row.
#pragma once

#include <algorithm>

#include "../../../native/src/formats/format.h"
#include "../../../native/src/isa.h"
#include "../../../native/src/ops/column_sums.h"
#include "../matmul/rows.h"

namespace golgi::GOLGI_ISA {

static_assert(strip_columns % max_block == 0);

/// Takes rows of a weight in ascending order.
template <class F>
class StripReader {
 public:
  StripReader(F format, const Weight& w, const Strip& strip)
      : format_(format), strip_(strip), rows_(w, strip.first_row), rows_ahead_(rows_) {}

  void decode(int64_t row, float* to) {
    prefetch_row(row + n_ahead);
    decode_row(format_, rows_.row(row), strip_.first_column, strip_.n_columns, to);
  }

 private:
  // The part of a row is too short a run for the hardware to prefetch the next one.
  static constexpr int64_t n_ahead = 4;

  void prefetch_row(int64_t row) {
    if (row >= strip_.end_row) return;
    const uint8_t* part = rows_ahead_.row(row).data + format_.bytes(strip_.first_column);
    for (int64_t line = 0; line < format_.bytes(strip_.n_columns); line += 64) prefetch_far(part + line);
  }

  F format_;
  const Strip& strip_;
  RowReader rows_, rows_ahead_;
};

}  // namespace golgi::GOLGI_ISA
