// GGUF's Q4_1: blocks of 32 elements in 20 bytes, a binary16 scale and minimum and 16 pairs of 4 bits; see
// src/tensor/formats/q4-1.ts.
#pragma once

#include "blocks.h"

namespace golgi::GOLGI_ISA {

struct Q4_1 {
  static constexpr Format format = Format::q4_1;

  static void decode(const uint8_t* from, float* __restrict to) {
    const float scale = f16_at(from);
    const float minimum = f16_at(from + 2);
    const uint8_t* pairs = from + 4;
    for (int i = 0; i < 16; i++) {
      to[i] = scale * static_cast<float>(pairs[i] & 15) + minimum;
      to[16 + i] = scale * static_cast<float>(pairs[i] >> 4) + minimum;
    }
  }
};

}  // namespace golgi::GOLGI_ISA
