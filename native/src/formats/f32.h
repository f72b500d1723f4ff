// float32 as it is; see format.h.
#pragma once

#include <cstring>

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
  struct Block {
    Floats w;

    explicit Block(const uint8_t* start) : w(load(start, 0)) {}
    Floats times(const float* x, Floats sum) const { return fma(w, Floats::load(x), sum); }
  };
};

}  // namespace golgi::GOLGI_ISA
