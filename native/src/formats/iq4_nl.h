// GGUF's IQ4_NL: blocks of 32 elements in 18 bytes, a binary16 scale and 16 pairs of places in a table; see
// src/tensor/formats/iq4-nl.ts.
#pragma once

#include "blocks.h"
#include "scaled_ints.h"

namespace golgi::GOLGI_ISA {

constexpr int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

struct IQ4_NL {
  static constexpr Format format = Format::iq4_nl;

  static void decode(const uint8_t* from, float* to) {
    ints_of_halves(from + 2, iq4_levels).store_scaled(all_f16(f16_bits_at(from)), to);
  }
};

}  // namespace golgi::GOLGI_ISA
