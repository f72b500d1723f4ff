// MXFP4 as transformers stores it: 32 elements in 16 bytes, two neighbours each, and their exponents apart; see
// src/tensor/formats/mxfp4.ts.
#pragma once

#include "blocks.h"
#include "mxfp4.h"

namespace golgi::GOLGI_ISA {

struct MXFP4_SPLIT {
  static constexpr Format format = Format::mxfp4_split;

  static void decode(const uint8_t* pairs, const uint8_t* exponent, int64_t, float* __restrict to) {
    int8_t doubles[fp4_block];
    for (int i = 0; i < fp4_block / 2; i++) {
      doubles[2 * i] = fp4_double(pairs[i] & 15);
      doubles[2 * i + 1] = fp4_double(pairs[i] >> 4);
    }
    scale_fp4(doubles, *exponent, to);
  }
};

}  // namespace golgi::GOLGI_ISA
