// GGUF's IQ4_NL: blocks of 32 elements in 18 bytes, a binary16 scale and 16 pairs of places in a table; see
// src/tensor/formats/iq4-nl.ts.
#pragma once

#include "blocks.h"

namespace golgi::GOLGI_ISA {

constexpr float iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

struct IQ4_NL {
  static constexpr Format format = Format::iq4_nl;

  static void decode(const uint8_t* from, float* __restrict to) {
    const float scale = f16_at(from);
    const uint8_t* pairs = from + 2;
    for (int i = 0; i < 16; i++) {
      to[i] = scale * iq4_levels[pairs[i] & 15];
      to[16 + i] = scale * iq4_levels[pairs[i] >> 4];
    }
  }
};

}  // namespace golgi::GOLGI_ISA
