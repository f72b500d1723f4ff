#include "weights.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace golgi {

namespace {

/// Neither sizes nor offsets come near this, and products of two stay within int64.
constexpr int64_t max_size = int64_t{1} << 31;

int64_t last_stored_row(const SegmentSource& source) {
  if (!source.stored_rows) return source.n_rows - 1;
  const auto [least, most] = std::minmax_element(source.stored_rows->begin(), source.stored_rows->end());
  if (*least < 0) throw std::out_of_range("a stored row must not be negative; got " + std::to_string(*least));
  return *most;
}

void check(const SegmentSource& source, int64_t row_size, int64_t expected_first_row) {
  if (source.first_row != expected_first_row || source.n_rows < 1) {
    throw std::invalid_argument("segments must follow one another without gaps; got " + std::to_string(source.n_rows) +
                                " rows from row " + std::to_string(source.first_row) + " where row " +
                                std::to_string(expected_first_row) + " comes next");
  }
  if (source.stored_rows && static_cast<int64_t>(source.stored_rows->size()) != source.n_rows) {
    throw std::invalid_argument("storedRows must name one stored row for each of the segment's " +
                                std::to_string(source.n_rows) + " rows; got " +
                                std::to_string(source.stored_rows->size()));
  }
  if (source.row_bytes < row_size || source.row_bytes >= max_size) {
    throw std::invalid_argument("rows must not overlap; got rows of " + std::to_string(row_size) + " bytes, " +
                                std::to_string(source.row_bytes) + " bytes apart");
  }
  const int64_t last = last_stored_row(source);
  const int64_t size = source.bytes.size_bytes;
  if (source.offset < 0 || source.offset > size || last >= max_size ||
      last * source.row_bytes + row_size > size - source.offset) {
    throw std::out_of_range("every row must lie inside the file; got stored row " + std::to_string(last) + ", " +
                            std::to_string(row_size) + " of " + std::to_string(source.row_bytes) +
                            " bytes a row from byte " + std::to_string(source.offset) + " of " + std::to_string(size));
  }
}

}  // namespace

int64_t stored_row_bytes(Format format, int64_t n_cols) {
  const FormatInfo& info = info_of(format);
  if (n_cols % info.block != 0) {
    throw std::invalid_argument("rows of " + std::string(info.name) + " must be whole blocks of " +
                                std::to_string(info.block) + "; got " + std::to_string(n_cols) + " columns");
  }
  return n_cols / info.block * info.block_bytes;
}

BoundWeight::BoundWeight(Format format, int64_t n_rows, int64_t n_cols, std::vector<SegmentSource> sources)
    : sources_(std::move(sources)) {
  if (n_rows < 1 || n_cols < 1 || n_rows >= max_size || n_cols >= max_size) {
    throw std::invalid_argument("a weight has rows and columns; got " + std::to_string(n_rows) + " by " +
                                std::to_string(n_cols));
  }
  const int64_t row_size = stored_row_bytes(format, n_cols);
  int64_t next_row = 0;
  for (const SegmentSource& source : sources_) {
    check(source, row_size, next_row);
    next_row += source.n_rows;
    const int32_t* stored_row = source.stored_rows ? source.stored_rows->data() : nullptr;
    segments_.push_back({source.bytes.data + source.offset, source.row_bytes, source.first_row, source.n_rows, stored_row});
  }
  if (next_row != n_rows) {
    throw std::invalid_argument("segments must cover all " + std::to_string(n_rows) + " rows; got " +
                                std::to_string(next_row));
  }
  weight_ = {format, n_rows, n_cols, segments_.data(), static_cast<int32_t>(segments_.size())};
}

const float* BoundWeight::dense() const {
  const Segment& first = segments_.front();
  const bool together = weight_.format == Format::f32 && segments_.size() == 1 && first.stored_row == nullptr &&
                        (first.row_bytes == 4 * weight_.n_cols || first.n_rows == 1);
  const bool aligned = reinterpret_cast<uintptr_t>(first.data) % alignof(float) == 0;
  return together && aligned ? reinterpret_cast<const float*>(first.data) : nullptr;
}

}  // namespace golgi
