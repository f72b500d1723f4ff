// MXFP4 as transformers stores it: 32 elements in 16 bytes, two neighbours each, and their exponents apart; see
// src/tensor/formats/mxfp4.ts.
#pragma once

#include "blocks.h"
#include "mxfp4.h"

namespace golgi::GOLGI_ISA {

struct MXFP4_SPLIT {
  static constexpr Format format = Format::mxfp4_split;
  static constexpr int64_t block = info_of(format).block;
  static constexpr int64_t block_bytes = info_of(format).block_bytes;

  static void decode(const uint8_t* pairs, const uint8_t* exponent, int64_t, float* to) {
    ints_of_pairs(pairs, fp4_doubles).store_scaled(fp4_scale(*exponent), to);
  }

  template <int n_columns>
  static void add_products(const StoredRow& row, int64_t b, const float* const (&x)[n_columns],
                           Floats (&sums)[n_columns]) {
    const Ints ints = ints_of_pairs(row.data + b * block_bytes, fp4_doubles);
    ints.add_products(fp4_scale(row.scales[b]), x, b * block, sums);
  }
};

}  // namespace golgi::GOLGI_ISA
