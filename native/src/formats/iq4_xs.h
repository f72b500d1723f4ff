// GGUF's IQ4_XS: blocks of 256 elements in 136 bytes, 8 groups with 6-bit scales; see src/tensor/formats/iq4-xs.ts.
#pragma once

#include "blocks.h"
#include "iq4_nl.h"

namespace golgi::GOLGI_ISA {

struct IQ4_XS {
  static constexpr Format format = Format::iq4_xs;

  static void decode(const uint8_t* from, float* to) {
    const float block_scale = f16_at(from);
    uint16_t scales_high;
    std::memcpy(&scales_high, from + 2, sizeof scales_high);
    for (int group = 0; group < 8; group++) {
      const int scale_low = from[4 + (group >> 1)] >> 4 * (group & 1) & 15;
      const int scale_high = scales_high >> 2 * group & 3;
      const float scale = block_scale * static_cast<float>((scale_low | scale_high << 4) - 32);
      const Ints ints = ints_of_halves(from + 8 + 16 * group, iq4_levels);
      ints.store_scaled(Floats::all(scale), to + 32 * group);
    }
  }
};

}  // namespace golgi::GOLGI_ISA
