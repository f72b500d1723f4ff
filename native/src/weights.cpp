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

/// Whether rows 0 to `last`, of `row_size` bytes each, lie inside.
bool lies_inside(const Bytes& bytes, int64_t offset, int64_t row_bytes, int64_t last, int64_t row_size) {
  const int64_t size = bytes.size_bytes;
  return offset >= 0 && offset <= size && last < max_size && last * row_bytes + row_size <= size - offset;
}

/// What `lies_inside` was told, for messages.
std::string place(const Bytes& bytes, int64_t offset, int64_t row_bytes, int64_t last, int64_t row_size) {
  return std::to_string(last) + ", " + std::to_string(row_size) + " of " + std::to_string(row_bytes) +
         " bytes a row from byte " + std::to_string(offset) + " of " + std::to_string(bytes.size_bytes);
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
  if (!lies_inside(source.bytes, source.offset, source.row_bytes, last_stored_row(source), row_size)) {
    throw std::out_of_range("every row must lie inside the file; got stored row " +
                            place(source.bytes, source.offset, source.row_bytes, last_stored_row(source), row_size));
  }
}

/// Of a segment whose rows were checked.
SegmentScales checked_scales(const SegmentSource& source, Format format, int64_t n_cols, int64_t row_size) {
  const FormatInfo& info = info_of(format);
  if (source.scales.has_value() != (info.scale_block > 0)) {
    throw std::invalid_argument(std::string(info.name) + (source.scales ? " has no scales apart; got some"
                                                                        : " needs the scales of its rows; got none"));
  }
  if (!source.scales) return {};
  const auto& [bytes, offset, row_bytes, rows_per_scale, first_row] = *source.scales;
  const int64_t scales_size = (n_cols + info.scale_block - 1) / info.scale_block * info.scale_bytes;
  if (row_bytes < scales_size || row_bytes >= max_size) {
    throw std::invalid_argument("rows of scales must not overlap; got rows of " + std::to_string(scales_size) +
                                " bytes, " + std::to_string(row_bytes) + " bytes apart");
  }
  if (rows_per_scale < 1 || rows_per_scale >= max_size || first_row < 0 || first_row >= max_size) {
    throw std::invalid_argument("rows share scales from row 0 of their matrix on; got row " +
                                std::to_string(first_row) + ", " + std::to_string(rows_per_scale) + " rows a scale");
  }
  if (source.row_bytes % row_size != 0) {
    throw std::invalid_argument("rows with scales must lie whole rows apart; got rows of " + std::to_string(row_size) +
                                " bytes, " + std::to_string(source.row_bytes) + " bytes apart");
  }
  const int64_t step = source.row_bytes / row_size;
  const int64_t last = (first_row + step * last_stored_row(source)) / rows_per_scale;
  if (!lies_inside(bytes, offset, row_bytes, last, scales_size)) {
    throw std::out_of_range("all scales must lie inside the file; got row of scales " +
                            place(bytes, offset, row_bytes, last, scales_size));
  }
  return {bytes.data + offset, row_bytes, rows_per_scale, first_row, step};
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
    segments_.push_back({source.bytes.data + source.offset, source.row_bytes, source.first_row, source.n_rows,
                         stored_row, checked_scales(source, format, n_cols, row_size)});
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
