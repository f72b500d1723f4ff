// GGUF's Q5_0: blocks of 32 elements in 22 bytes, a binary16 scale, 32 high bits and 16 pairs of 4 bits; see
// src/tensor/formats/q5-0.ts.
#pragma once

#include "blocks.h"

namespace golgi::GOLGI_ISA {

struct Q5_0 {
  static constexpr Format format = Format::q5_0;

  static void decode(const uint8_t* from, float* __restrict to) {
    const float scale = f16_at(from);
    uint32_t high;
    std::memcpy(&high, from + 2, sizeof high);
    const auto fifth_bit = [high](int i) { return static_cast<int>(high >> i & 1) << 4; };
    const uint8_t* pairs = from + 6;
    for (int i = 0; i < 16; i++) {
      to[i] = scale * static_cast<float>(((pairs[i] & 15) | fifth_bit(i)) - 16);
      to[16 + i] = scale * static_cast<float>(((pairs[i] >> 4) | fifth_bit(16 + i)) - 16);
    }
  }
};

}  // namespace golgi::GOLGI_ISA
