// float32 as it is; see format.h.
#pragma once

#include <cstring>

#include "../kernel.h"
#include "../simd.h"

namespace golgi::GOLGI_ISA {

struct F32 {
  static constexpr int64_t block = Floats::lanes;
  static constexpr int64_t block_bytes = block * 4;

  static int64_t bytes(int64_t n) { return n * 4; }
  static const float* at(const uint8_t* row, int64_t i) { return reinterpret_cast<const float*>(row + bytes(i)); }

  static float element(const uint8_t* row, int64_t i) {
    float x;
    std::memcpy(&x, row + bytes(i), sizeof x);
    return x;
  }
  static Floats load(const uint8_t* row, int64_t i) { return Floats::load(at(row, i)); }
  static Floats load(const uint8_t* row, int64_t i, int64_t n) { return Floats::load(at(row, i), n); }

  template <int n_columns>
  static void add_products(const StoredRow& row, int64_t b, const float* const (&x)[n_columns],
                           Floats (&sums)[n_columns]) {
    const Floats w = load(row.data, b * block);
    for (int c = 0; c < n_columns; c++) sums[c] = fma(w, Floats::load(x[c] + b * block), sums[c]);
  }
};

}  // namespace golgi::GOLGI_ISA
