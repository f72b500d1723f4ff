// What scripts/native-cases.ts writes: programs of one op or a few, with everything that they read and what they must
// give. All numbers are 32-bit words, little-endian.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../src/cache_pages.h"
#include "../src/weights.h"

namespace golgi::conformance {

struct StoredScales {
  int64_t row_bytes, rows_per_scale, first_row;
  std::vector<uint8_t> bytes;  ///< empty: the format has none apart
};

struct StoredSegment {
  int64_t first_row, n_rows, row_bytes;
  std::vector<int32_t> stored_rows;  ///< empty: in order
  std::vector<uint8_t> bytes;
  StoredScales scales;
};

struct StoredWeight {
  Format format;
  int64_t n_rows, n_cols;
  std::vector<StoredSegment> segments;
};

struct Expected {
  std::string name;
  bool is_int;
  float tolerance;  ///< absolute or relative, whichever allows more; 0: the same bits, NaN aside
  std::vector<int32_t> words;
};

struct StepCase {
  std::vector<int32_t> words;
  std::vector<int32_t> weights;
  std::vector<std::vector<float>> constants;
  std::vector<int32_t> caches;
  std::vector<int32_t> sequence, position, rope_variant;
  std::vector<std::vector<int32_t>> pages, ints;
  std::vector<std::vector<float>> floats;
  std::vector<Expected> outputs;
};

struct Case {
  std::string name;
  /// Earlier case whose outputs of the same name must have the same bits; −1 for none.
  int32_t twin;
  std::vector<StoredWeight> weights;
  std::vector<CacheLayout> caches;
  int32_t n_pages;
  std::vector<StepCase> steps;
};

/// Throws std::runtime_error where the file is not what the script writes.
std::vector<Case> read_cases(const std::string& path);

}  // namespace golgi::conformance
