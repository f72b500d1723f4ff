// GGUF's Q5_K: blocks of 256 elements in 176 bytes, 8 groups with 6-bit scales and minimums; see
// src/tensor/formats/q5-k.ts.
#pragma once

#include "blocks.h"
#include "k_scales.h"

namespace golgi::GOLGI_ISA {

struct Q5_K {
  static constexpr Format format = Format::q5_k;

  static void decode(const uint8_t* from, float* __restrict to) {
    const float block_scale = f16_at(from);
    const float block_minimum = f16_at(from + 2);
    const GroupScales groups(from);
    const uint8_t* high = from + 16;
    for (int group = 0; group < 8; group++) {
      const float scale = block_scale * groups.ints[group];
      const float minimum = block_minimum * groups.ints[8 + group];
      const uint8_t* low = from + 48 + 32 * (group >> 1);
      const int shift = 4 * (group & 1);
      for (int i = 0; i < 32; i++) {
        const int quant = (low[i] >> shift & 15) | (high[i] >> group & 1) << 4;
        to[32 * group + i] = scale * static_cast<float>(quant) - minimum;
      }
    }
  }
};

}  // namespace golgi::GOLGI_ISA
