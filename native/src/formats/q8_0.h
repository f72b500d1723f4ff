// GGUF's Q8_0: blocks of 32 elements in 34 bytes, a binary16 scale and 32 int8; see format.h.
#pragma once

#include <cstring>

#include "../half.h"
#include "../kernel.h"
#include "../simd.h"
#include "scaled_ints.h"

namespace golgi::GOLGI_ISA {

struct Q8_0 {
  static constexpr int64_t block = 32;
  static constexpr int64_t block_bytes = 34;

  static int64_t bytes(int64_t n) { return n / block * block_bytes; }
  static uint16_t scale(const uint8_t* block_start) {
    uint16_t half;
    std::memcpy(&half, block_start, sizeof half);
    return half;
  }
  static const int8_t* quants(const uint8_t* block_start) { return reinterpret_cast<const int8_t*>(block_start + 2); }

  static float element(const uint8_t* row, int64_t i) {
    const uint8_t* start = row + bytes(i);
    return f16_to_f32(scale(start)) * static_cast<float>(quants(start)[i % block]);
  }
  // Exact: 8 bits times 11 bits fit into the 24 of a float32.
  static Floats load(const uint8_t* row, int64_t i) {
    const uint8_t* start = row + bytes(i);
    return all_f16(scale(start)) * load_i8(quants(start) + i % block);
  }
  static Floats load(const uint8_t* row, int64_t i, int64_t) { return load(row, i); }

  template <int n_columns>
  static void add_products(const StoredRow& row, int64_t b, const float* const (&x)[n_columns],
                           Floats (&sums)[n_columns]) {
    const uint8_t* start = row.data + b * block_bytes;
    Ints ints;
    for (int64_t v = 0; v < Ints::n; v++) ints.of[v] = load_i8(quants(start) + v * Floats::lanes);
    ints.add_products(all_f16(scale(start)), x, b * block, sums);
  }
};

}  // namespace golgi::GOLGI_ISA
