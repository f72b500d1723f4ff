// IEEE 754 binary16; see format.h.
#pragma once

#include <cstring>

#include "../half.h"
#include "../kernel.h"
#include "../simd.h"

namespace golgi::GOLGI_ISA {

struct F16 {
  static constexpr int64_t block = Floats::lanes;
  static constexpr int64_t block_bytes = block * 2;

  static int64_t bytes(int64_t n) { return n * 2; }
  static const uint16_t* at(const uint8_t* row, int64_t i) { return reinterpret_cast<const uint16_t*>(row + bytes(i)); }

  static float element(const uint8_t* row, int64_t i) {
    uint16_t half;
    std::memcpy(&half, row + bytes(i), sizeof half);
    return f16_to_f32(half);
  }
  static Floats load(const uint8_t* row, int64_t i) { return load_f16(at(row, i)); }
  static Floats load(const uint8_t* row, int64_t i, int64_t n) { return load_f16(at(row, i), n); }

  template <int n_columns>
  static void add_products(const StoredRow& row, int64_t b, const float* const (&x)[n_columns],
                           Floats (&sums)[n_columns]) {
    const Floats w = load(row.data, b * block);
    for (int c = 0; c < n_columns; c++) sums[c] = fma(w, Floats::load(x[c] + b * block), sums[c]);
  }
};

}  // namespace golgi::GOLGI_ISA
