// MXFP4 in GGUF: blocks of 32 elements in 17 bytes, an exponent and 16 pairs of 4-bit floats; see
// src/tensor/formats/mxfp4.ts.
#pragma once

#include "blocks.h"

namespace golgi::GOLGI_ISA {

constexpr int64_t fp4_block = info_of(Format::mxfp4).block;

/// Twice a 4-bit float: 0, 1, 2, 3, 4, 6, 8, 12 or the negative of one; both zeros are 0.
inline int8_t fp4_double(uint8_t code) {
  // Compilers vectorise arithmetic, but no tables.
  const int8_t magnitude = code & 7;
  const int8_t twice = magnitude + (magnitude > 4) + (magnitude > 5) + (magnitude > 6 ? 3 : 0);
  return code & 8 ? -twice : twice;
}

/// The numbers of a block from their doubles.
inline void scale_fp4(const int8_t* doubles, uint32_t exponent, float* __restrict to) {
  // 2^(e - 128), of which the two smallest are subnormal.
  const float scale = std::bit_cast<float>(exponent < 2 ? 0x200000u << exponent : (exponent - 1) << 23);
  if constexpr (Floats::lanes > 4) {
    // More than twice as fast as what g++ 12 makes of the plain loop.
    const Floats factor = Floats::all(scale);
    for (int64_t i = 0; i < fp4_block; i += Floats::lanes) (load_i8(doubles + i) * factor).store(to + i);
  } else {
    for (int64_t i = 0; i < fp4_block; i++) to[i] = static_cast<float>(doubles[i]) * scale;
  }
}

struct MXFP4 {
  static constexpr Format format = Format::mxfp4;

  static void decode(const uint8_t* from, float* __restrict to) {
    const uint8_t* pairs = from + 1;
    int8_t doubles[fp4_block];
    for (int i = 0; i < fp4_block / 2; i++) {
      doubles[i] = fp4_double(pairs[i] & 15);
      doubles[fp4_block / 2 + i] = fp4_double(pairs[i] >> 4);
    }
    scale_fp4(doubles, from[0], to);
  }
};

}  // namespace golgi::GOLGI_ISA
