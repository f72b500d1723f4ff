// GGUF's Q6_K: blocks of 256 elements in 210 bytes, 16 groups with 8-bit scales; see src/tensor/formats/q6-k.ts.
#pragma once

#include "blocks.h"

namespace golgi::GOLGI_ISA {

struct Q6_K {
  static constexpr Format format = Format::q6_k;

  static void decode(const uint8_t* from, float* __restrict to) {
    const float block_scale = f16_at(from + 208);
    for (int group = 0; group < 16; group++) {
      const float scale = block_scale * static_cast<float>(static_cast<int8_t>(from[192 + group]));
      const int half = group >> 3, quarter = group >> 1 & 3, within = 16 * (group & 1);
      const uint8_t* low = from + 64 * half + 32 * (quarter & 1) + within;
      const uint8_t* high = from + 128 + 32 * half + within;
      const int low_shift = 4 * (quarter >> 1), high_shift = 2 * quarter;
      for (int i = 0; i < 16; i++) {
        const int quant = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
        to[16 * group + i] = scale * static_cast<float>(quant - 32);
      }
    }
  }
};

}  // namespace golgi::GOLGI_ISA
