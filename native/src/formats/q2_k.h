// GGUF's Q2_K: blocks of 256 elements in 84 bytes, 16 groups with 4-bit scales and minimums; see
// src/tensor/formats/q2-k.ts.
#pragma once

#include "blocks.h"

namespace golgi::GOLGI_ISA {

struct Q2_K {
  static constexpr Format format = Format::q2_k;

  static void decode(const uint8_t* from, float* __restrict to) {
    const float block_scale = f16_at(from + 80);
    const float block_minimum = f16_at(from + 82);
    for (int group = 0; group < 16; group++) {
      const float scale = block_scale * static_cast<float>(from[group] & 15);
      const float minimum = block_minimum * static_cast<float>(from[group] >> 4);
      const uint8_t* quants = from + 16 + 32 * (group >> 3) + 16 * (group & 1);
      const int shift = 2 * (group >> 1 & 3);
      for (int i = 0; i < 16; i++) to[16 * group + i] = scale * static_cast<float>(quants[i] >> shift & 3) - minimum;
    }
  }
};

}  // namespace golgi::GOLGI_ISA
