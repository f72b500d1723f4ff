#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cache_pages.h"
#include "program.h"

namespace golgi {

/// Where an output is written: `offset` bytes into a block.
struct OutputPlace {
  uint8_t* block;
  int64_t block_bytes;
  int64_t offset;
};

/// What one run of a program is given; see src/tape/rows.ts for what the rows mean.
struct Step {
  std::vector<int32_t> sequence;      ///< [T]
  std::vector<int32_t> position;      ///< [T]
  std::vector<int32_t> rope_variant;  ///< [n_sequences]
  std::vector<std::vector<int32_t>> pages;  ///< [n_sequences]
  std::vector<std::vector<int32_t>> ints;   ///< by int input
  std::vector<std::vector<float>> floats;   ///< by float input
  std::vector<OutputPlace> outputs;
};

/// Keys that a row at this position sees under a window (0: none), its own included.
inline int64_t n_visible_keys(int64_t position, int64_t window) {
  return window == 0 ? position + 1 : std::min(position + 1, window);
}

/// What a symbol stands for in a step whose rows and selections are checked.
int64_t size_of(const Symbol& symbol, const Step& step);

/// Throws std::invalid_argument or std::out_of_range unless a step fits the program and the pages there are.
void check_step(const Step& step, const Program& program, int64_t n_pages);

}  // namespace golgi
