// E4M3 with a float32 for each 128 columns, which lie apart; see src/tensor/formats/fp8-e4m3.ts.
#pragma once

#include "blocks.h"

namespace golgi::GOLGI_ISA {

struct F8_E4M3 {
  static constexpr Format format = Format::f8_e4m3;

  static void decode(const uint8_t* codes, const uint8_t* scale_bytes, int64_t n, float* __restrict to) {
    constexpr int64_t scale_block = info_of(format).scale_block;
    float scale;
    std::memcpy(&scale, scale_bytes, sizeof scale);
    uint16_t halves[scale_block];
    // Loops of a known length have no tail.
    if (n == scale_block) for (int64_t i = 0; i < scale_block; i++) halves[i] = half_of(codes[i]);
    else for (int64_t i = 0; i < n; i++) halves[i] = half_of(codes[i]);
    // Two products, of which only the second is rounded.
    const Floats power = Floats::all(256), factor = Floats::all(scale);
    int64_t i = 0;
    for (; i + Floats::lanes <= n; i += Floats::lanes) (load_f16(halves + i) * power * factor).store(to + i);
    if (i < n) (load_f16(halves + i, n - i) * power * factor).store(to + i, n - i);
  }

  /// The number over 2^8 as a binary16, whose exponent has one bit more and a bias that is 8 larger.
  static uint16_t half_of(uint8_t code) {
    const uint16_t half = (code & 128) << 8 | (code & 127) << 7;
    return (code & 127) == 127 ? 0x7e00 : half;
  }
};

}  // namespace golgi::GOLGI_ISA
