// GGUF's Q4_0: blocks of 32 elements in 18 bytes, a binary16 scale and 16 pairs of 4 bits; see
// src/tensor/formats/q4-0.ts.
#pragma once

#include "blocks.h"

namespace golgi::GOLGI_ISA {

struct Q4_0 {
  static constexpr Format format = Format::q4_0;

  static void decode(const uint8_t* from, float* __restrict to) {
    const float scale = f16_at(from);
    const uint8_t* pairs = from + 2;
    for (int i = 0; i < 16; i++) {
      to[i] = scale * static_cast<float>((pairs[i] & 15) - 8);
      to[16 + i] = scale * static_cast<float>((pairs[i] >> 4) - 8);
    }
  }
};

}  // namespace golgi::GOLGI_ISA
