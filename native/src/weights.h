#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernel.h"

namespace golgi {

/// Bytes that somebody else owns, kept alive as long as they are used.
struct Bytes {
  std::shared_ptr<const void> owner;
  const uint8_t* data;
  int64_t size_bytes;
};

/// Where the scales of a segment's rows lie, as given: those of the matrix's first rows begin at `offset` of `bytes`.
struct ScalesSource {
  Bytes bytes;
  int64_t offset;
  int64_t row_bytes;
  int64_t rows_per_scale;
  /// Row of the matrix that is the segment's first stored row.
  int64_t first_row;
};

/// Consecutive rows of a weight, as given: the first stored row begins at `offset` of `bytes`.
struct SegmentSource {
  Bytes bytes;
  int64_t offset;
  int64_t row_bytes;
  int64_t first_row;
  int64_t n_rows;
  /// Which stored row holds row i of the segment, where that is not i.
  std::optional<std::vector<int32_t>> stored_rows;
  /// Of formats that keep their scales apart.
  std::optional<ScalesSource> scales;
};

/// A weight together with all that it points to.
class BoundWeight {
 public:
  /// Throws std::invalid_argument unless the segments follow one another and cover all rows, and std::out_of_range
  /// unless every row and its scales lie inside their bytes.
  BoundWeight(Format format, int64_t n_rows, int64_t n_cols, std::vector<SegmentSource> sources);
  BoundWeight(const BoundWeight&) = delete;
  BoundWeight& operator=(const BoundWeight&) = delete;

  const Weight& weight() const { return weight_; }

  /// All elements where they lie together as float32, else null.
  const float* dense() const;

 private:
  std::vector<SegmentSource> sources_;
  std::vector<Segment> segments_;
  Weight weight_;
};

/// Bytes of one stored row; throws std::invalid_argument where a row is no whole number of the format's blocks.
int64_t stored_row_bytes(Format format, int64_t n_cols);

}  // namespace golgi
