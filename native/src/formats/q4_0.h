// GGUF's Q4_0: blocks of 32 elements in 18 bytes, a binary16 scale and 16 pairs of 4 bits; see
// src/tensor/formats/q4-0.ts.
#pragma once

#include "blocks.h"
#include "scaled_ints.h"

namespace golgi::GOLGI_ISA {

struct Q4_0 {
  static constexpr Format format = Format::q4_0;
  static constexpr int64_t block = info_of(format).block;
  static constexpr int64_t block_bytes = info_of(format).block_bytes;
  static constexpr int8_t levels[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};

  static Floats scale(const uint8_t* from) { return all_f16(f16_bits_at(from)); }
  static Ints ints(const uint8_t* from) { return ints_of_halves(from + 2, levels); }

  static void decode(const uint8_t* from, float* to) { ints(from).store_scaled(scale(from), to); }

  template <int n_columns>
  static void add_products(const StoredRow& row, int64_t b, const float* const (&x)[n_columns],
                           Floats (&sums)[n_columns]) {
    const uint8_t* from = row.data + b * block_bytes;
    ints(from).add_products(scale(from), x, b * block, sums);
  }
};

}  // namespace golgi::GOLGI_ISA
