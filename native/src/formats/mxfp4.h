// MXFP4 in GGUF: blocks of 32 elements in 17 bytes, an exponent and 16 pairs of 4-bit floats; see
// src/tensor/formats/mxfp4.ts.
#pragma once

#include "blocks.h"

namespace golgi::GOLGI_ISA {

/// Twice the 4-bit floats.
constexpr float fp4_doubles[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

struct MXFP4 {
  static constexpr Format format = Format::mxfp4;

  static void decode(const uint8_t* from, float* __restrict to) {
    // 2^(e - 128), of which the two smallest are subnormal.
    const uint32_t exponent = from[0];
    const float scale = std::bit_cast<float>(exponent < 2 ? 0x200000u << exponent : (exponent - 1) << 23);
    const uint8_t* pairs = from + 1;
    for (int i = 0; i < 16; i++) {
      to[i] = scale * fp4_doubles[pairs[i] & 15];
      to[16 + i] = scale * fp4_doubles[pairs[i] >> 4];
    }
  }
};

}  // namespace golgi::GOLGI_ISA
