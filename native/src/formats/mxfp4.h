// MXFP4 in GGUF: blocks of 32 elements in 17 bytes, an exponent and 16 pairs of 4-bit floats; see
// src/tensor/formats/mxfp4.ts.
#pragma once

#include <array>
#include <bit>

#include "blocks.h"
#include "scaled_ints.h"

namespace golgi::GOLGI_ISA {

/// Twice the 4-bit floats; both zeros are 0.
constexpr int8_t fp4_doubles[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// What those are multiplied with, 2^(e - 128) for each exponent e; the two smallest are subnormal.
constexpr auto fp4_scales = [] {
  std::array<float, 256> scales{};
  for (uint32_t e = 0; e < 256; e++) scales[e] = std::bit_cast<float>(e < 2 ? 0x200000u << e : (e - 1) << 23);
  return scales;
}();
inline Floats fp4_scale(uint8_t exponent) { return Floats::all(fp4_scales[exponent]); }

struct MXFP4 {
  static constexpr Format format = Format::mxfp4;
  static constexpr int64_t block = info_of(format).block;
  static constexpr int64_t block_bytes = info_of(format).block_bytes;

  static Ints ints(const uint8_t* from) { return ints_of_halves(from + 1, fp4_doubles); }

  static void decode(const uint8_t* from, float* to) { ints(from).store_scaled(fp4_scale(from[0]), to); }

  template <int n_columns>
  static void add_products(const StoredRow& row, int64_t b, const float* const (&x)[n_columns],
                           Floats (&sums)[n_columns]) {
    const uint8_t* from = row.data + b * block_bytes;
    ints(from).add_products(fp4_scale(from[0]), x, b * block, sums);
  }
};

}  // namespace golgi::GOLGI_ISA
