// GGUF's Q3_K: blocks of 256 elements in 110 bytes, 16 groups with 6-bit scales; see src/tensor/formats/q3-k.ts.
#pragma once

#include "blocks.h"

namespace golgi::GOLGI_ISA {

struct Q3_K {
  static constexpr Format format = Format::q3_k;

  static void decode(const uint8_t* from, float* __restrict to) {
    const float block_scale = f16_at(from + 108);
    const uint8_t* scales = from + 96;
    for (int group = 0; group < 16; group++) {
      const int scale_low = scales[group & 7] >> 4 * (group >> 3) & 15;
      const int scale_high = scales[8 + (group & 3)] >> 2 * (group >> 2) & 3;
      const float scale = block_scale * static_cast<float>((scale_low | scale_high << 4) - 32);
      const uint8_t* high = from + 16 * (group & 1);
      const uint8_t* low = from + 32 + 32 * (group >> 3) + 16 * (group & 1);
      const int shift = 2 * (group >> 1 & 3);
      for (int i = 0; i < 16; i++) {
        const int quant = (low[i] >> shift & 3) | (high[i] >> (group >> 1) & 1) << 2;
        to[16 * group + i] = scale * static_cast<float>(quant - 4);
      }
    }
  }
};

}  // namespace golgi::GOLGI_ISA
