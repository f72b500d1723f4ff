// GGUF's Q4_K: blocks of 256 elements in 144 bytes, 8 groups with 6-bit scales and minimums; see
// src/tensor/formats/q4-k.ts.
#pragma once

#include "blocks.h"
#include "k_scales.h"

namespace golgi::GOLGI_ISA {

struct Q4_K {
  static constexpr Format format = Format::q4_k;

  static void decode(const uint8_t* from, float* __restrict to) {
    const float block_scale = f16_at(from);
    const float block_minimum = f16_at(from + 2);
    for (int group = 0; group < 8; group++) {
      const float scale = block_scale * group_scale(from + 4, group);
      const float minimum = block_minimum * group_minimum(from + 4, group);
      const uint8_t* quants = from + 16 + 32 * (group >> 1);
      const int shift = 4 * (group & 1);
      for (int i = 0; i < 32; i++) to[32 * group + i] = scale * static_cast<float>(quants[i] >> shift & 15) - minimum;
    }
  }
};

}  // namespace golgi::GOLGI_ISA
